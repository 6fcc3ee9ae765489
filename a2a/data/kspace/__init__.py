"""k-space files of any kind, brought to the grid of a prior."""
