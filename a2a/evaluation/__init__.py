"""Metrics of each subject, their intervals, and what may be said about differences."""
