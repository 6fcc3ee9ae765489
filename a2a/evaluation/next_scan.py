"""Which scan next: what each further acquisition would take off the uncertainty of a target, from posterior samples.

Explained in the chapter "All 108 observations".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student

from a2a.common.errors import InputError, whole
from a2a.common.rng import spawn
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling


class Complete(Protocol):
    """Draws one sample of each stack: ``partial(mds, prior, steps=10)``, or `a2a.methods.interface.Method.complete`."""

    def __call__(self, observation: Observation, *, generators: Sequence[torch.Generator]) -> Completion:
        """Draw.

        Parameters
        ----------
        observation
            B observed stacks.
        generators
            One for each of them.
        """


@dataclass(frozen=True, eq=False)
class ScanValues:
    """What is uncertain of a target, and what would be after each scan; mean squares over pixels, image units.

    Parameters
    ----------
    target
        Name of the target.
    scans
        The K scans, as terms of a scenario: ``"CT"``, ``"y(T1)"``.
    now
        ``(S, B)``, what each of S samples of B slices adds to the variance of the target.
    left
        ``(K, S, B)``, the same for the variance that is left once the scan of that sample is known.
    """

    target: str
    scans: tuple[str, ...]
    now: np.ndarray
    left: np.ndarray

    def table(self) -> pd.DataFrame:
        """Rank the scans, the most useful first.

        Returns
        -------
        pandas.DataFrame
            ``scan``; ``left``, the root mean variance of the target with it; ``removed``, the share of the variance
            that it takes away, with ``low, high``; ``behind``, how much less that is than the share of the first, with
            ``behind_low, behind_high``. The 95 % intervals are over the samples of each slice: they tell how far so few
            samples can be trusted, not how other patients differ.
        """
        removed = [share_removed(self.now, left) for left in self.left]
        order = np.argsort([-values.mean() for values in removed], kind="stable")
        rows = []
        for k in order:
            low, high = _interval(removed[k])
            behind = removed[order[0]] - removed[k]
            after = dict(zip(("behind_low", "behind_high"), _interval(behind), strict=True))
            found = {"removed": removed[k].mean(), "low": low, "high": high, "behind": behind.mean()} | after
            rows.append({"scan": self.scans[k], "left": self.left[k].mean() ** 0.5} | found)
        return pd.DataFrame(rows)


def share_removed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Share of a variance or squared error that is gone: values whose mean is 1 less the ratio of the means.

    The spread of these values is that of the share to first order: what `before` and `after` have in common cancels.

    Parameters
    ----------
    before, after
        Of the same samples or subjects, of one shape.
    """
    ratio = after.mean() / before.mean()
    return 1 - ratio + (ratio * before - after) / before.mean()


def scans_left(scenario: Scenario, target: str, spec: StackSpec) -> tuple[str, ...]:
    """Name what could be acquired next: other images, and k-space of MR contrasts of which there is nothing.

    The target itself counts where its k-space would be a scan.

    Parameters
    ----------
    scenario
        What is given.
    target
        Name or alias.
    spec
        The stack.

    Raises
    ------
    InputError
        If the target is unknown or given clean, or nothing is left.
    """
    goal, found = spec.index(target), []
    if scenario.kinds[goal] == "clean":
        raise InputError(f"target: {spec.names[goal]} is given clean by {scenario!s}; nothing of it is uncertain.")
    for i, (modality, kind) in enumerate(zip(spec, scenario.kinds, strict=True)):
        if kind != "clean" and i != goal:
            found.append(modality.name)
        if kind == "missing" and modality.kind == "MR":
            found.append(f"y({modality.name})")
    if not found:
        raise InputError(f"Nothing is left to acquire: {scenario!s} gives all that could tell of {spec.names[goal]}.")
    return tuple(found)


def value_of_scans(
    complete: Complete,
    observation: Observation,
    target: str,
    scans: Sequence[str] | None = None,
    undersampling: Undersampling = Undersampling(),  # noqa: B008 - frozen, so one default serves all calls
    samples: int = 8,
    seed: int = 0,
) -> ScanValues:
    r"""Estimate what each scan would take off the variance of a target, before it is acquired.

    Each posterior sample s is taken for the truth in turn. The data :math:`y_m` of the scan are acquired from it, and
    the stack is drawn again, :math:`s' \sim p(x \mid y, y_m)`. Given y and :math:`y_m`, s and s' are two draws of one
    distribution, so that

    .. math:: \tfrac12 E (s' - s)^2 = E\,\mathrm{Var}(x \mid y, y_m)

    in every pixel, whatever the distribution: the variance that will be left, on average over what the scan may show.
    No mean of samples is needed, so one draw s' of each s is enough. It is right as far as the sampler is.

    Parameters
    ----------
    complete
        The sampler, at its settings.
    observation
        B slices, and what is given of them.
    target
        Name or alias of the modality that matters.
    scans
        Which scans are compared, ``"CT"`` or ``"y(T1)"``; by default `scans_left`.
    undersampling
        How k-space would be acquired.
    samples
        Samples S of each slice, at least 2. The sampler draws S B (1 + K) rows for K scans.
    seed
        Of samples and of the noise of k-space. All scans meet the same random numbers.

    Raises
    ------
    InputError
        As `scans_left`, or if a scan is the target, is given already or is not one term, there are fewer than 2
        samples, or all samples are the same.
    """
    spec, items = observation.spec, observation.shape[0]
    possible = scans_left(observation.scenario, target, spec)
    chosen = possible if scans is None else tuple(_checked(scan, possible, spec) for scan in scans)
    goal = spec.index(target)
    whole("samples", samples, 2)
    given, draws = observation.repeat(samples), (items, samples)
    drawn = complete(given, generators=spawn(seed, *draws)).samples[0]

    def left(scan: str) -> np.ndarray:
        """Variance of the target with a scan."""
        more = Observation.simulate(drawn, scan, spec, undersampling, spawn(seed + 1, *draws))
        again = complete(given.joined(more), generators=spawn(seed + 2, *draws)).samples[0]
        apart = (again - drawn)[:, goal].double().unflatten(0, (samples, items))
        return (apart.square().mean(dim=(-2, -1)) / 2).numpy()

    now = left("nothing")
    if not now.sum() > 0:
        raise InputError(f"samples: all {samples} are the same; what is uncertain needs a sampler.")
    return ScanValues(spec.names[goal], chosen, now, np.stack([left(scan) for scan in chosen]))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval of the mean of values ``(S, B)``; slices may differ, samples of a slice are draws."""
    samples, slices = values.shape
    error = (values.var(axis=0, ddof=1).mean() / values.size) ** 0.5
    half = float(student.ppf(0.975, slices * (samples - 1)) * error)
    return values.mean() - half, values.mean() + half


def _checked(scan: str, possible: Sequence[str], spec: StackSpec) -> str:
    """Return a scan as `scans_left` writes it, or refuse it."""
    named = str(Scenario.parse(scan, spec))
    if named not in possible:
        raise InputError(f"scan: {scan!r} cannot be acquired next; possible are {', '.join(possible)}.")
    return named
