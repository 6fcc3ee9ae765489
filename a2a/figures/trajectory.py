"""The way of a sampler from noise to a stack, one step at a time under a slider."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Sheet, as_images, panel
from a2a.forward.stack import StackSpec

_SLIDER = 70  # pixels below the images


def trajectory(
    states: ArrayLike | torch.Tensor,
    estimates: ArrayLike | torch.Tensor,
    times: Sequence[int],
    spec: StackSpec,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show the state and the clean estimate of a sampler at a time that the reader chooses with a slider.

    Parameters
    ----------
    states, estimates
        What `on_step` of a sampler was given in K steps, each (K, n, H, W), image units; values outside [0, 1] are
        drawn as black or white.
    times
        The K times t.
    spec
        The n modalities, one column each.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes do not fit each other, the times or the spec.
    """
    pair = [as_images(states, 4, "states"), as_images(estimates, 4, "estimates")]
    if any(images.shape[:2] != (len(times), len(spec)) for images in pair) or pair[0].shape != pair[1].shape:
        shapes = " and ".join(str(images.shape) for images in pair)
        raise InputError(f"states and estimates must both be ({len(times)}, {len(spec)}, H, W), got {shapes}.")
    description = (
        f"A slider over {len(times)} steps of a sampler, from t = {times[0]} to t = {times[-1]}. Above the state, "
        f"below the clean estimate of {', '.join(spec.names)}; the last step is shown first."
    )
    figures = [image_grid(_sheet(pair, k, spec), description, width) for k in range(len(times))]
    shown, sources = figures[-1], [[trace.source for trace in figure.data] for figure in figures]
    steps = [
        {"label": str(time), "method": "restyle", "args": [{"source": frame}, list(range(len(frame)))]}
        for time, frame in zip(times, sources, strict=True)
    ]
    look = {"currentvalue": {"prefix": "t = ", "font": {"size": 13}}, "pad": {"t": 8, "b": 4}, "font": {"size": 11}}
    height, below = shown.layout.height, shown.layout.margin.b
    shown.update_layout(
        sliders=[{"active": len(times) - 1, "steps": steps, "x": 0, "len": 1, "y": 0} | look],
        height=height + _SLIDER,
        margin_b=below + _SLIDER,
    )
    return shown


def _sheet(pair: list[np.ndarray], step: int, spec: StackSpec) -> Sheet:
    rows = [[panel(image, m) for image, m in zip(images[step], spec, strict=True)] for images in pair]
    return Sheet(rows, ["state <i>x</i>", "estimate <i>x̂</i>₀"], spec.names)
