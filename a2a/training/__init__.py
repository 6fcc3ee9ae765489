"""Training of priors: configuration, batches, checkpoints, loop."""

from a2a.training.config import TrainConfig, load_config
from a2a.training.loop import train

__all__ = ["TrainConfig", "load_config", "train"]
