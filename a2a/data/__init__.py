"""From files or the phantom to a slice store: cards, volumes, k-space, phantom, preparation."""
