"""Samplers: one reverse process, one correction each."""

from a2a.samplers.mds import mds
from a2a.samplers.mps import mps
from a2a.samplers.unconditional import ddim, ddpm

__all__ = ["ddim", "ddpm", "mds", "mps"]
