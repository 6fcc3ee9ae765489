"""Samplers: one reverse process, one correction each."""

from a2a.samplers.daps import daps
from a2a.samplers.ddnm import ddnm
from a2a.samplers.diffpir import diffpir
from a2a.samplers.freehunch import freehunch
from a2a.samplers.mds import mds
from a2a.samplers.mps import mps
from a2a.samplers.pigdm import pigdm
from a2a.samplers.pnpdm import pnpdm
from a2a.samplers.pula import pula
from a2a.samplers.unconditional import ddim, ddpm

__all__ = ["daps", "ddim", "ddnm", "ddpm", "diffpir", "freehunch", "mds", "mps", "pigdm", "pnpdm", "pula"]
