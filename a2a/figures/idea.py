"""The idea of Any2all in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch

from a2a.common.errors import InputError
from a2a.figures import theme
from a2a.figures.grid import image_grid
from a2a.figures.panels import Sheet, panel
from a2a.figures.stacks import given_panels, stack_of
from a2a.forward.stack import StackSpec


@dataclass(frozen=True)
class Example:
    """One scenario with its completion, a row of `one_picture`.

    Parameters
    ----------
    scenario
        The scenario as it is written, ``"T1 + y(T2FLAIR)"``.
    kinds
        ``"clean"``, ``"measured"`` or ``"missing"`` for each modality.
    given
        Zero-filled images (n, H, W).
    completed
        Completed stack (n, H, W), image units.
    """

    scenario: str
    kinds: tuple[str, ...]
    given: np.ndarray | torch.Tensor
    completed: np.ndarray | torch.Tensor


def idea_sheet(examples: Sequence[Example], spec: StackSpec) -> Sheet:
    """Lay out scenarios, one a row: at the left what was given, at the right the completed stack.

    Parameters
    ----------
    examples
        One or more scenarios.
    spec
        The n modalities.

    Raises
    ------
    InputError
        If there is no example, or shapes or kinds do not fit.
    """
    if not examples:
        raise InputError("one_picture needs at least one example.")
    rows = []
    for example in examples:
        completed = stack_of(example.completed, spec, 3, "completed")
        outputs = [panel(*cell) for cell in zip(completed, spec, strict=True)]
        rows.append(given_panels(example.given, example.kinds, spec, missing="?") + outputs)
    titles = [_name(example).replace(" + ", "<br>+ ") for example in examples]
    groups = ("what you have", "all modalities, from one prior")
    return Sheet(rows, titles, spec.names * 2, wide_after=(len(spec) - 1,), group_titles=groups)


def one_picture(examples: Sequence[Example], spec: StackSpec, width: int = theme.WIDTH) -> go.Figure:
    """Show the idea of Any2all: whatever is given, one prior completes the stack; see `idea_sheet`.

    Parameters
    ----------
    examples
        Observations and their completions.
    spec
        The modalities.
    width
        Of the figure, pixels.
    """
    scenarios = "; ".join(map(_name, examples))
    description = f"One prior completes any observation. Each row: what is given, and the completed stack: {scenarios}."
    return image_grid(idea_sheet(examples, spec), description, width)


def _name(example: Example) -> str:
    return example.scenario or "nothing"
