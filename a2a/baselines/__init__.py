"""The methods that Any2all is compared with, by name."""

from a2a.baselines.base import Baseline

BASELINES: dict[str, type[Baseline]] = {}

__all__ = ["BASELINES", "Baseline"]
