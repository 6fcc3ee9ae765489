"""The diffusion process, trained and exact priors, what is known of their errors, and their weights."""
