"""Experiments: which methods complete which scenarios, measured on a slice store."""

from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.run import run
from a2a.benchmark.table import read_table, refusals, tables

__all__ = ["Experiment", "Job", "read_table", "refusals", "run", "tables"]
