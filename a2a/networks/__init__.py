"""Networks that are trained: the U-Net of the prior, the networks of the compared methods, and shared blocks."""
