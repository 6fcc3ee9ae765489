"""The slice store: what training and evaluation read."""
