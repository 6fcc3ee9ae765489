"""How methods, metrics and givens look, once for all figures of results.

A method keeps its colour, symbol and dashes in every figure, so that a reader learns them once. Colours are those of
Okabe and Ito and two greys; symbols and direct labels tell methods apart in grey print.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.forward.scenario import Kind


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Parameters
    ----------
    label
        Its name in figures.
    colour, symbol, dash
        Of Plotly.
    """

    label: str
    colour: str
    symbol: str
    dash: str = "solid"


_BLUE, _RED, _GREEN, _PINK, _ORANGE, _SKY = theme.PALETTE
METHODS = {
    "any2all-mds": Look("Any2all MDS", _BLUE, "circle"),
    "any2all-mps": Look("MPS, moment-matched", _RED, "diamond", "dash"),
    "any2all-mds-cross-modal": Look("MDS, cross-modal errors", "#1b365d", "star", "longdash"),
    "any2all-mds-per-modality": Look("MDS, levels per modality", "#0b6e6e", "star-diamond", "solid"),
    "any2all-mds-per-modality-one": Look("one evaluation", "#3f7f3f", "y-left", "dot"),
    "any2all-mds-cross-modal-per-modality": Look("MDS, coupled, levels per modality", "#00a3a3", "hexagram", "dot"),
    "any2all-mps-norm": Look("MPS, norm guidance", "#8c2d04", "hexagon", "dot"),
    "any2all-daps": Look("DAPS", "#5b8c2a", "triangle-ne", "dash"),
    "any2all-ddnm": Look("DDNM", "#b5651d", "triangle-se", "dot"),
    "any2all-diffpir": Look("DiffPIR", "#a3347a", "triangle-sw", "dashdot"),
    "any2all-freehunch": Look("Free Hunch", "#6f4fa0", "octagon", "dashdot"),
    "any2all-pigdm": Look("ΠGDM, unit variance", "#3d4f8f", "triangle-nw", "longdash"),
    "any2all-pigdm-measured": Look("ΠGDM, measured variance", "#7f8fd1", "triangle-nw-open", "longdashdot"),
    "any2all-pnpdm": Look("PnP-DM", "#c2453d", "circle-cross", "dot"),
    "any2all-pula": Look("pULA", "#2f8f83", "diamond-wide", "dash"),
    "mmgan": Look("mmGAN", _GREEN, "square", "dot"),
    "mmresvit": Look("mmResViT", _PINK, "triangle-up", "dashdot"),
    "m2dn": Look("M2DN", _ORANGE, "cross", "longdash"),
    "m2dn-sampling-steps-50": Look("M2DN, 50 steps", "#b35900", "cross-dot", "longdash"),
    "minet": Look("MINet", _SKY, "x", "longdashdot"),
    "mcvarnet": Look("MC-VarNet", "#6b4c9a", "triangle-down", "dot"),
    "discdiff": Look("DisC-Diff", "#7a5c00", "pentagon", "dash"),
    "hinet": Look("Hi-Net", "#4b7f52", "hourglass", "dash"),
    "mmsyn": Look("MM-SYN", "#a05a2c", "bowtie", "dot"),
    "ucdgan": Look("UcDGAN, ours", "#5f7f95", "triangle-left", "longdash"),
    "cocagan": Look("CocaGAN, ours", "#93617a", "triangle-right", "dashdot"),
    "syndiff": Look("SynDiff, paired", "#c77700", "star-square", "longdashdot"),
    "pmmsynth": Look("PMM-Synth", "#2b6f77", "diamond-tall", "solid"),
    "pmmsynth-plain": Look("PMM-Synth, not told", "#6aa5a9", "diamond-tall-open", "dash"),
    "pflsynth": Look("pFLSynth", "#6d6a1f", "star-triangle-up", "dash"),
    "adm": Look("ADM", "#3b5b92", "circle-x", "dash"),
    "umm-csgm": Look("UMM-CSGM", "#8a3f5c", "diamond-cross", "dot"),
    "apt": Look("APT", "#4d6b2e", "square-cross", "dashdot"),
    "ftn": Look("FTN, ours", "#7d4a4a", "star-triangle-down", "dot"),
    "boosted-trees": Look("boosted trees", "#555555", "y-up", "dash"),
    "network-regression": Look("regression U-Net", "#6a6a6a", "y-right", "longdash"),
    "linear-regression": Look("linear regression", "#888888", "y-down", "dot"),
    "tikhonov-sense": Look("SENSE", "#333333", "asterisk", "longdash"),
    "zero-filled": Look("zero-filled", "#a0a0a0", "hash", "dashdot"),
}
"""Look of each method by its name in the results tables; Any2all first."""


@dataclass(frozen=True)
class Scale:
    """How a metric is drawn.

    Parameters
    ----------
    title
        Of its axis.
    better
        ``"more"``, ``"less"``, or ``"one"`` where the truth has 1.
    logarithmic
        Whether its axis is.
    """

    title: str
    better: str
    logarithmic: bool = False

    @property
    def hint(self) -> str:
        """The title with an arrow that points to where it is better."""
        return self.title + {"more": " →", "less": " ←", "one": ", truth 1"}[self.better]


METRICS = {
    "psnr": Scale("PSNR (dB)", "more"),
    "psnr_slice": Scale("PSNR of slices (dB)", "more"),
    "ssim": Scale("SSIM", "more"),
    "ssim_head": Scale("SSIM of the head", "more"),
    "psnr_lesion": Scale("PSNR inside the lesion (dB)", "more"),
    "mae": Scale("MAE (image units)", "less"),
    "mae_lesion": Scale("MAE inside the lesion (image units)", "less"),
    "rfd": Scale("rFD", "less", True),
    "dfd": Scale("dFD", "less", True),
    "hfr": Scale("detail", "one", True),
    "gradient": Scale("gradients", "one", True),
    "aliasing": Scale("aliasing", "less"),
    "crps": Scale("CRPS", "less"),
    "dice_wt": Scale("Dice of the whole tumour", "more"),
    "dice_tc": Scale("Dice of the tumour core", "more"),
    "dice_et": Scale("Dice of the enhancing tumour", "more"),
    "dice_infarct": Scale("Dice of the infarct", "more"),
}
"""Scale of each metric of the results tables."""

GLYPHS: dict[Kind, str] = {"clean": "●", "measured": "◐", "missing": "○"}
"""How a modality was given: as an image, as k-space, not at all."""

GLYPH_FONT = "'DejaVu Sans', 'Segoe UI Symbol', 'Apple Symbols', 'Noto Sans Symbols2', sans-serif"
"""Fonts that have all three glyphs in one size."""


def look(method: str) -> Look:
    """Return the look of a method of the results tables.

    Raises
    ------
    InputError
        If it has none.
    """
    if method not in METHODS:
        raise InputError(f"No look for the method {method!r}; a2a.figures.looks has {', '.join(METHODS)}.")
    return METHODS[method]


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name: its own if it is a method of the results tables, else the next that is free."""
    taken = {METHODS[name].colour for name in names if name in METHODS}
    free = [i for i, colour in enumerate(theme.PALETTE) if colour not in taken] or [0]
    others = cycle(Look("", theme.PALETTE[i], theme.SYMBOLS[i], theme.DASHES[i]) for i in free)
    return {name: METHODS[name] if name in METHODS else replace(next(others), label=name) for name in names}


def scale(metric: str) -> Scale:
    """Return the scale of a metric of the results tables.

    Raises
    ------
    InputError
        If it has none.
    """
    if metric not in METRICS:
        raise InputError(f"No scale for the metric {metric!r}; a2a.figures.looks has {', '.join(METRICS)}.")
    return METRICS[metric]


def plain(scenario: str) -> str:
    """Return a scenario or modality as a person writes it: ``T2*`` for ``T2star``."""
    return scenario.replace("star", "*")
