"""NIfTI volumes: reading, alignment, foreground, labels, intensities and slices."""
