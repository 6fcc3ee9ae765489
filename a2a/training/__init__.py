"""Training: configuration, objectives, batches, checkpoints, loop."""

from a2a.training.config import PriorConfig, TrainConfig
from a2a.training.loop import train
from a2a.training.prior import PriorObjective

__all__ = ["PriorConfig", "PriorObjective", "TrainConfig", "train"]
