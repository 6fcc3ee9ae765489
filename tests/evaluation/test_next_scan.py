"""Which scan next: the exact answer of Gaussian stacks, and refusals."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.evaluation.next_scan import ScanValues, scans_left, share_removed, value_of_scans
from a2a.forward.completion import Completion
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality, StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds

SPEC = StackSpec((Modality("T1"), Modality("T2"), Modality("CT", "CT"), Modality("PET", "PET")))
BETWEEN = torch.tensor([[1, 0.5, 0.3, 0.8], [0.5, 1, 0.2, 0.6], [0.3, 0.2, 1, 0.1], [0.8, 0.6, 0.1, 1]])
SIDE, COILS = 4, Undersampling(coils=2, noise_std=0.02)


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    """Stacks of 4 x 4 pixels; PET goes with T1 most, with T2 less, and hardly with CT."""
    mean = torch.full((4, SIDE, SIDE), 0.5)
    within = GaussianPrior.correlated(SPEC, mean, 0.1, 0.0, 1.0).covariance[: SIDE**2, : SIDE**2]
    return GaussianPrior(mean.double(), torch.kron(BETWEEN.double(), within), SPEC)


def observed(prior: GaussianPrior, text: str) -> Observation:
    nothing = Observation.simulate(prior.mean[None], "nothing", SPEC)
    return Observation.simulate(prior.posterior(nothing).sample(spawn(5, 1)), text, SPEC, COILS)


def exact(prior: GaussianPrior, observation: Observation, *, generators: Sequence[torch.Generator]) -> Completion:
    """A sampler without error."""
    rows = [prior.posterior(observation[i : i + 1]).sample([g]) for i, g in enumerate(generators)]
    return Completion(torch.cat(rows)[None], SPEC, 0.0, 0)


def truly_removed(prior: GaussianPrior, observation: Observation, scan: str) -> float:
    """The share of the variance of PET; in a Gaussian it does not depend on what the scan shows."""
    more = observation.joined(Observation.simulate(prior.mean[None], scan, SPEC, COILS))
    left, now = (prior.posterior(o).std[3].square().mean() for o in (more, observation))
    return float(1 - left / now)


@pytest.mark.parametrize("given", ["CT", "CT + y(T2)"])
def test_the_shares_are_those_of_the_exact_posterior(prior, given):
    observation = observed(prior, given)
    table = value_of_scans(partial(exact, prior), observation, "PET", None, COILS, samples=120).table()
    true = np.array([truly_removed(prior, observation, scan) for scan in table["scan"]])
    assert len(true) == len(scans_left(observation.scenario, "PET", SPEC))
    assert np.abs(table["removed"] - true).max() < 0.1
    assert (table["low"] < true + 0.02).all() and (true - 0.02 < table["high"]).all()
    assert (table["high"] - table["low"]).max() < 0.26
    assert table["scan"][0] == "T1" and table["behind"][0] == 0 and (table["behind_low"][1:] > 0).all()


def test_a_sampler_ranks_as_the_exact_one_and_repeats_itself(prior):
    observation = observed(prior, "CT")
    sampler = partial(mds, prior, steps=20, noise_levels="per-modality", batch=100)
    first, again = (value_of_scans(sampler, observation, "PET", ("T2", "T1"), COILS, 20) for _ in range(2))
    assert first.table()["scan"].tolist() == ["T1", "T2"]
    assert first.table()["removed"].tolist() == pytest.approx([0.67, 0.37], abs=0.15)
    assert np.array_equal(first.left, again.left) and first.left.shape == (2, 20, 1)


def test_what_samples_share_does_not_widen_the_interval():
    before = np.array([1.0, 4.0, 2.0])
    assert share_removed(before, 0.3 * before) == pytest.approx(np.full(3, 0.7))
    assert share_removed(before, before + [0.3, -0.1, -0.2]).mean() == pytest.approx(0)


def test_the_table_says_what_is_left_and_how_far_a_scan_is_behind():
    now, left = np.full((2, 1), 0.04), np.array([[[0.03], [0.01]], [[0.01], [0.01]]])
    table = ScanValues("PET", ("CT", "T1"), now, left).table()
    assert table["scan"].tolist() == ["T1", "CT"]
    assert table["left"].tolist() == pytest.approx([0.1, 0.02**0.5])
    assert table["removed"].tolist() == pytest.approx([0.75, 0.5]) and table["behind"][1] == pytest.approx(0.25)
    assert table["low"][0] == table["high"][0] and table["low"][1] < 0.5 < table["high"][1]


@pytest.mark.parametrize(
    ("given", "target", "scans"),
    [
        ("nothing", "PET", ("T1", "y(T1)", "T2", "y(T2)", "CT")),
        ("T1 + y(T2)", "PET", ("T2", "CT")),
        ("CT", "T1", ("y(T1)", "T2", "y(T2)", "PET")),
        ("CT + y(T1)", "T1", ("T2", "y(T2)", "PET")),
    ],
)
def test_scans_that_are_left(given, target, scans):
    assert scans_left(Scenario.parse(given, SPEC), target, SPEC) == scans


@pytest.mark.parametrize(
    ("given", "target", "settings", "complaint"),
    [
        ("T1 + PET", "PET", {}, r"target: PET is given clean by T1 \+ PET; nothing of it is uncertain"),
        ("T1 + T2 + CT", "PET", {}, r"Nothing is left to acquire: T1 \+ T2 \+ CT gives all that could tell of PET"),
        ("T1", "T3", {}, "Unknown modality 'T3'"),
        ("T1", "PET", {"scans": ["PET"]}, r"scan: 'PET' cannot be acquired next; possible are T2, y\(T2\), CT"),
        ("T1", "PET", {"scans": ["y(T1)"]}, r"scan: 'y\(T1\)' cannot be acquired next"),
        ("T1", "PET", {"scans": ["T2 + CT"]}, r"scan: 'T2 \+ CT' cannot be acquired next"),
        ("T1", "PET", {"samples": 1}, "samples: 1 must be 2 or more"),
    ],
)
def test_what_cannot_be_planned_is_refused(prior, given, target, settings, complaint):
    with pytest.raises(InputError, match=complaint):
        value_of_scans(partial(exact, prior), observed(prior, given), target, **settings)


def test_a_method_without_samples_is_refused(prior):
    def mean(observation: Observation, *, generators: Sequence[torch.Generator]) -> Completion:
        return Completion(prior.mean.expand(1, len(generators), -1, -1, -1), SPEC, 0.0, 0)

    with pytest.raises(InputError, match="samples: all 3 are the same; what is uncertain needs a sampler"):
        value_of_scans(mean, observed(prior, "T1"), "PET", samples=3)
