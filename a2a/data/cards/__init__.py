"""Data cards: what a data set is, where its files lie, and how it is fetched."""
