"""Whether samples predict k-space that they were not given: a check of a posterior that needs no truth.

Lines that were held out have noise of their own, so given the patient they are independent of the others, and what
they should be is what the posterior given the others predicts. Explained in the chapter "What the samples know".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from a2a.common.errors import InputError, whole
from a2a.common.rng import spawn
from a2a.evaluation.calibration import coverage, spread_skill
from a2a.forward.observation import Observation
from a2a.forward.operators import CartesianSense, LineSense, PerItem, StackOperator
from a2a.forward.stack import StackSpec

Lines = CartesianSense | LineSense | PerItem
"""What measures lines of k-space."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Lines of k-space of one modality that a sampler was not given.

    Parameters
    ----------
    name
        The modality.
    channel
        Its channel of the stack.
    operator
        What measures these lines alone.
    data
        ``(B, coils, ...)``, as the operator makes them.
    noise_std
        Of each real and imaginary part.
    """

    name: str
    channel: int
    operator: Lines
    data: Tensor
    noise_std: float

    def __repr__(self) -> str:
        return f"HeldOut({self.name!r}, data={tuple(self.data.shape)}, noise_std={self.noise_std})"

    def check(self, samples: Tensor, levels: Sequence[float] = (0.5, 0.8, 0.9), seed: int = 0) -> pd.DataFrame:
        r"""Compare the lines with what samples of the posterior given the others predict of them.

        A sample s predicts :math:`A s + \sigma n`, with noise of its own. If the posterior is right, lines and
        predictions are draws of one distribution, and each real number that was measured counts as one truth.

        Parameters
        ----------
        samples
            Complete stacks ``(S, B, n, H, W)``, drawn without these lines; S >= 2.
        levels
            Probabilities of central intervals, as in `a2a.evaluation.calibration.coverage`.
        seed
            Of the noise of the predictions.

        Returns
        -------
        pandas.DataFrame
            One row: ``modality``; ``numbers`` that were predicted; ``spread`` and ``skill`` of the predictions, image
            units, and their ``ratio``, 1 if the posterior is right and below 1 if it is too sure (skill / spread,
            squared, is a chi-square for each number); ``noise``, the share of the spread's square that is noise: near
            1 the lines say nothing of the samples; and for each level ``covered <nominal>``.

        Raises
        ------
        InputError
            As `a2a.evaluation.calibration.spread_skill`.
        """
        count, items = samples.shape[:2]
        predicted = self.operator.repeat(count) if isinstance(self.operator, PerItem) else self.operator
        lines = predicted.forward(samples[:, :, self.channel].flatten(0, 1).to(self.data.real.dtype))
        lines = predicted.noisy(lines, self.noise_std, spawn(seed, items, count))
        measured = self.operator.sampled(torch.ones_like(self.data)).real > 0
        truth, drawn = (_numbers(values, measured) for values in (self.data, lines))
        drawn = drawn.unflatten(0, (count, items))[:, :, None, None]
        spec = StackSpec.of(self.name)
        found = spread_skill(truth[:, None, None], drawn, spec).drop(columns="correlation")
        noise = np.minimum(self.noise_std**2 / found["spread"] ** 2, 1.0)
        inside = coverage(truth[:, None, None], drawn, spec, levels)
        covered = {f"covered {r.nominal:.2g}": r.covered for r in inside.itertuples()}
        return found.assign(numbers=truth.numel(), noise=noise, **covered)[
            ["modality", "numbers", "spread", "skill", "ratio", "noise", *covered]
        ]


def hold_out(observation: Observation, modality: str, every: int = 4) -> tuple[Observation, HeldOut]:
    """Take some lines of k-space out of an observation.

    Parameters
    ----------
    observation
        With k-space of the modality along lines.
    modality
        Name or alias.
    every
        Every n-th of the measured lines is held out, from the middle of the first n on.

    Returns
    -------
    tuple
        The observation without them, to be sampled from, and the lines, to be predicted.

    Raises
    ------
    InputError
        If the modality is not measured along lines, or fewer than `every` lines are.
    """
    whole("every", every, 2)
    channel = observation.spec.index(modality)
    name, block = observation.spec.names[channel], observation.operator.blocks[channel]
    if not isinstance(block, Lines):
        raise InputError(f"modality: {name} has no lines of k-space to hold out; take one that is given as y({name}).")
    kept, held = _split(name, block, every)
    data = observation.data[channel]
    parts = [_taken(data, block, part) for part in (kept, held)]
    operators = [_with(block, part) for part in (kept, held)]
    blocks, values = list(observation.operator.blocks), list(observation.data)
    blocks[channel], values[channel] = operators[0], parts[0]
    rest = replace(observation, operator=StackOperator(tuple(blocks)), data=tuple(values))
    return rest, HeldOut(name, channel, operators[1], parts[1], observation.noise_std[channel])


def _split(name: str, block: Lines, every: int) -> tuple[Tensor, Tensor]:
    """Numbers of the lines that are kept and held out."""
    first = block.operators[0] if isinstance(block, PerItem) else block
    if isinstance(first, CartesianSense) and first.mask.ndim > 1:
        raise InputError(f"modality: the mask of {name} varies along both axes, so that it has no lines to hold out.")
    lines = torch.arange(len(first.frequencies)) if isinstance(first, LineSense) else first.mask.nonzero().flatten()
    if len(lines) < every:
        raise InputError(f"every: {name} has {len(lines)} lines, fewer than {every}.")
    out = torch.zeros(len(lines), dtype=torch.bool)
    out[every // 2 :: every] = True
    return lines[~out], lines[out]


def _with(block: Lines, lines: Tensor) -> Lines:
    """The operator of some lines."""
    if isinstance(block, PerItem):
        return PerItem(tuple(_with(each, lines) for each in block.operators))
    if isinstance(block, LineSense):
        return replace(block, frequencies=block.frequencies[lines])
    mask = torch.zeros_like(block.mask)
    mask[lines] = True
    return replace(block, mask=mask)


def _taken(data: Tensor, block: Lines, lines: Tensor) -> Tensor:
    """The data of some lines."""
    if isinstance(block.operators[0] if isinstance(block, PerItem) else block, LineSense):
        return data[:, :, lines]
    taken = torch.zeros_like(data)
    taken[:, :, lines] = data[:, :, lines]
    return taken


def _numbers(data: Tensor, measured: Tensor) -> Tensor:
    """Real numbers that were measured, ``(B, m)``."""
    return torch.view_as_real(data)[:, measured[0]].flatten(1)
