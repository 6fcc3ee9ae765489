"""Experiments: which methods complete which scenarios, measured on a slice store."""

from a2a.benchmark.experiment import Experiment, Job
from a2a.benchmark.run import run, tables

__all__ = ["Experiment", "Job", "run", "tables"]
