"""Everything that completes an observation, behind one interface and one registry by name."""
