"""Figures of what the data go through: noising by the forward process, undersampling with several coils."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from numpy.typing import ArrayLike

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Panel, Sheet, as_images, panel
from a2a.forward.stack import StackSpec


def forward_process_strip(
    noisy: ArrayLike | torch.Tensor, times: Sequence[int], spec: StackSpec, width: int = theme.WIDTH
) -> go.Figure:
    """Show a stack while the forward process drowns it in noise: one row a modality, one column a time.

    Parameters
    ----------
    noisy
        x_t at the K times, shape (K, n, H, W), image units; values outside [0, 1] are drawn as black or white.
    times
        The K times t.
    spec
        The n modalities.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes do not fit the times or the spec.
    """
    images = as_images(noisy, 4, "noisy")
    if images.shape[:2] != (len(times), len(spec)):
        raise InputError(f"noisy must have shape ({len(times)}, {len(spec)}, H, W), got {images.shape}.")
    rows = [[panel(image, modality) for image in images[:, i]] for i, modality in enumerate(spec)]
    titles = [f"<i>t</i> = {time}" for time in times]
    description = f"The forward process: a stack at the times {', '.join(map(str, times))}, from clean to pure noise."
    return image_grid(Sheet(rows, spec.names, titles), description, width)


def denoising_strip(
    noisy: ArrayLike | torch.Tensor,
    estimate: ArrayLike | torch.Tensor,
    times: Sequence[int],
    spec: StackSpec,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show noisy stacks and, below each, what the prior takes the clean stack to be: one column a time.

    Parameters
    ----------
    noisy, estimate
        x_t and the clean estimates at the K times, each (K, n, H, W), image units.
    times
        The K times t.
    spec
        The n modalities; two rows each.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes do not fit each other, the times or the spec.
    """
    pair = [as_images(noisy, 4, "noisy"), as_images(estimate, 4, "estimate")]
    if any(images.shape[:2] != (len(times), len(spec)) for images in pair) or pair[0].shape != pair[1].shape:
        shapes = " and ".join(str(images.shape) for images in pair)
        raise InputError(f"noisy and estimate must both be ({len(times)}, {len(spec)}, H, W), got {shapes}.")
    rows = [[panel(image, m) for image in images[:, i]] for i, m in enumerate(spec) for images in pair]
    names = [f"<b>{m.name}</b><br>{what}" for m in spec for what in ("noisy", "estimate")]
    description = f"Noisy {' and '.join(spec.names)} and the clean estimate at the times {', '.join(map(str, times))}."
    return image_grid(Sheet(rows, names, [f"<i>t</i> = {time}" for time in times]), description, width)


def mask_and_coils(
    mask: ArrayLike | torch.Tensor,
    maps: ArrayLike | torch.Tensor,
    image: ArrayLike | torch.Tensor | None = None,
    width: int = theme.WIDTH,
) -> go.Figure:
    """Show a sampling mask beside the coil sensitivity maps, or beside the image as each coil sees it.

    Parameters
    ----------
    mask
        True where k-space is sampled, shape (H,) along the phase-encode axis or (H, W), k = 0 in the centre.
    maps
        Coil sensitivity maps, shape (coils, H, W), complex; their magnitude is drawn.
    image
        Image (H, W) in image units to multiply the maps with, or None.
    width
        Pixels.

    Raises
    ------
    InputError
        If the shapes do not fit each other.
    """
    magnitude = as_images(np.abs(_host(maps)), 3, "maps")
    coils, height, columns = magnitude.shape
    sampled = _host(mask).astype(np.float32)
    if sampled.shape not in ((height,), (height, columns)):
        raise InputError(f"mask must have shape ({height},) or ({height}, {columns}), got {sampled.shape}.")
    lines = np.broadcast_to(sampled.reshape(height, -1), (height, columns))
    scene = None if image is None else as_images(image, 2, "image")
    if scene is not None and scene.shape != (height, columns):
        raise InputError(f"image must have shape ({height}, {columns}), got {scene.shape}.")
    seen = magnitude if scene is None else magnitude * scene
    limits = (0.0, float(seen.max()) or 1.0)
    cells = [Panel(c, theme.GREY, limits, f"coil {i + 1}") for i, c in enumerate(seen)]
    half = -(-coils // 2)
    corner = Panel(None) if scene is None else Panel(scene, text="image")
    share = f"{100 * sampled.mean():.0f} % sampled"
    upper = [Panel(lines, smooth=False), *cells[:half]]
    lower = [corner, *cells[half:], *[Panel(None)] * (2 * half - coils)]
    titles = [f"k-space<br>{share}", *[""] * half]
    what = "sensitivity of each coil" if scene is None else "image as each coil sees it"
    description = f"Undersampling mask of k-space ({share}) and the {what}, {coils} coils."
    return image_grid(Sheet([upper, lower], (), titles, wide_after=(0,)), description, width)


def _host(values: ArrayLike | torch.Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
