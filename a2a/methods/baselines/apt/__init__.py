"""APT (Shin et al. 2025): a diffusion prior that is told the anatomy, begun from what another contrast looks like."""
