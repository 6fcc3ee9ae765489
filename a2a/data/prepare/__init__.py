"""From a data card to a slice store."""
