"""The methods that Any2all is compared with, by name."""

from a2a.baselines.base import Baseline
from a2a.baselines.mmgan import MmGAN
from a2a.baselines.mmresvit import MmResViT

BASELINES: dict[str, type[Baseline]] = {method.name: method for method in (MmGAN, MmResViT)}

__all__ = ["BASELINES", "Baseline"]
