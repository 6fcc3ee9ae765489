"""One word stands for settings; what is named counts more; an estimate grows with the work."""

from dataclasses import replace

import pytest
import torch

from a2a.common.errors import InputError
from a2a.forward.observation import Observation
from a2a.methods.interface import Any2all
from a2a.methods.quality import QUALITIES, estimated_seconds, rows_at_once, settings


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")


def test_a_word_stands_for_settings_and_named_ones_count_more(tiny_prior):
    options, samples = settings("fast", tiny_prior, {"steps": 3})
    assert options == {"steps": 3, "eta": 1.0, "rho": QUALITIES["fast"].rho, "noise_levels": "joint"} and samples == 4
    best, samples = settings("best", tiny_prior, {})
    assert best["eta"] == "optimal" and samples == 16
    assert Any2all(tiny_prior, "mds", options).options["steps"] == 3
    with pytest.raises(InputError, match="'good' is none of fast, best"):
        settings("good", tiny_prior, {})


def test_an_estimate_is_in_proportion_to_evaluations_and_samples(tiny_prior, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("a2a.methods.quality.time.perf_counter", lambda: float(next(clock)))
    observation = Observation.build(tiny_prior.spec, {"T1": torch.rand(6, 24, 24)}, {})
    method = Any2all(tiny_prior, "mds", {"steps": 10})
    few = estimated_seconds(method, observation, 1)
    clock = iter(range(100))
    assert estimated_seconds(replace(method, options={"steps": 20}), observation, 3) == pytest.approx(6 * few)


def test_large_slices_are_computed_a_few_at_a_time():
    assert (rows_at_once(64), rows_at_once(224)) == (16, 4)
