"""What every floor stands on: errors, files, progress, random numbers, paths, provenance, units."""
