"""Validation: against the exactly known error of a Gaussian prior, and against a network that knows nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.rng import randn, spawn
from a2a.common.units import to_image, to_model
from a2a.forward.stack import StackSpec
from a2a.networks.warm_start import own_levels
from a2a.prior.frequency_bands import pixel_variance
from a2a.prior.gaussian import Gaussian, GaussianPrior
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Target
from a2a.training import PriorObjective
from a2a.training.state import build
from a2a.training.validation import calibrated, calibration_times, denoising_error, validation_loss

SPEC = StackSpec.of("T1", "CT")


def test_denoising_error_is_the_exact_one_of_a_gaussian_prior():
    prior = GaussianPrior.correlated(SPEC, torch.full((2, 8, 8), 0.5), std=0.1, correlation=0.7, length=1.5)
    images = Gaussian(prior.mean, prior.covariance).sample(spawn(0, 48)).numpy()
    times = range(0, 1000, 90)
    error = [pixel_variance(rows, 8, 8).numpy() for rows in denoising_error(prior, images, times)]
    exact = np.array([prior.variance(t).numpy() for t in times])
    np.testing.assert_allclose(error, exact, rtol=0.12, atol=1e-8)
    assert (np.diff(exact, axis=0) > 0).all() and (np.diff(error, axis=0) > -1e-4).all()
    assert np.array(error).max() < 1.12 * 0.1**2


@pytest.mark.parametrize("length", [10, 100, 1000])
def test_calibration_times_cover_the_schedule_and_its_end(length):
    times = calibration_times(length)
    assert times[0] == 0 and times[-1] == length - 1 and list(times) == sorted(set(times))
    assert np.diff([t for t in times if t > 0.9 * length]).max(initial=0) <= max(1, length / 100)


@pytest.fixture
def bare(store, config) -> Prior:
    """A fresh network, which predicts no noise at all: its clean estimate is amplified noise near t = T."""
    return Prior(build(PriorObjective(config, store)).ema.eval(), NoiseSchedule(), store.spec, store.size)


def test_calibration_shrinks_what_is_worth_nothing_to_the_mean(bare, store):
    train, held_out = store.split("train").images, store.split("val").images
    done = calibrated(bare, train, held_out)
    mean = torch.from_numpy(np.float32(train).mean(axis=0))
    x = torch.randn(3, *mean.shape)
    assert torch.allclose(to_image(done.predict(x, 999)), mean.expand_as(x), atol=0.02)
    gain = done.calibration.gain
    assert gain[0].min() > 0.99 and gain[-1].max() < 0.05 and gain.min() >= 0 and gain.max() <= 1


def test_a_velocity_is_not_shrunk(bare, store):
    swift = replace(bare, predicts="velocity")
    done = calibrated(swift, store.split("train").images, store.split("val").images)
    x = torch.randn(2, len(store.spec), store.size, store.size)
    assert done.calibration.mean is None and torch.equal(done.predict(x, 999), swift.predict(x, 999))
    assert torch.isfinite(done.variance(999)).all() and len(done.calibration.error) == len(done.calibration.times)


def test_calibration_never_makes_the_error_larger(bare, store):
    held_out = store.split("val").images
    done = calibrated(bare, store.split("train").images, held_out)
    again = denoising_error(done, held_out, done.calibration.times)
    torch.testing.assert_close(done.calibration.error, again, rtol=0, atol=1e-6)
    rows = denoising_error(bare, held_out, done.calibration.times)
    raw = torch.stack([pixel_variance(row, bare.size, bare.size) for row in rows])
    error = torch.stack([done.variance(t) for t in done.calibration.times])
    assert (error <= raw + 1e-6).all() and error[-1].max() < 0.5 * raw[-1].max()


@pytest.mark.parametrize("predicts", ["noise", "velocity"])
def test_with_components_it_errs_no_more_than_network_or_gaussian(bare, store, predicts, tmp_path):
    raw, train, held_out = replace(bare, predicts=predicts), store.split("train").images, store.split("val").images
    done = calibrated(raw, train, held_out, components=4)
    known = done.calibration
    assert known.components.shape == (4, 2, 16, 16) and known.gain.shape == (len(known.times), 2)
    gaussian, draws = known.gaussian(torch.empty(0)), randn((2, 16, 16), spawn(3, 6 * len(held_out)))
    clean = to_model(torch.from_numpy(np.float32(held_out))).repeat(6, 1, 1, 1)
    for t in (400, 800, 950):
        x = done.schedule.diffuse(clean, torch.full((len(clean),), t), draws)
        levels = done.schedule.coefficients(t, x)
        answers = done.predict(x, t), raw.predict(x, t), gaussian(x, *levels)
        errors = [float((answer - clean).square().mean()) for answer in answers]
        assert errors[0] <= 1.02 * min(errors[1:]), t
    done.save(tmp_path / "p.safetensors")
    again = Prior.load(tmp_path / "p.safetensors")
    assert (
        torch.equal(again.predict(x[:2], 950), done.predict(x[:2], 950)) and again.digest == done.digest != raw.digest
    )


def test_what_is_told_a_level_of_each_modality_is_not_shrunk(bare, store):
    wide = replace(bare, network=own_levels(bare.network))
    done = calibrated(wide, store.split("train").images, store.split("val").images)
    x, unequal = torch.randn(2, *done.calibration.mean.shape), [950] + [0] * (len(done.spec) - 1)
    assert torch.equal(done.predict(x, unequal), wide.predict(x, unequal))
    assert not torch.equal(done.predict(x, 950), wide.predict(x, 950))


def test_calibration_survives_the_file(bare, store, tmp_path):
    done = calibrated(bare, store.split("train").images, store.split("val").images)
    done.save(tmp_path / "p.safetensors")
    again, x = Prior.load(tmp_path / "p.safetensors"), torch.randn(2, *done.calibration.mean.shape)
    assert torch.equal(again.predict(x, 950), done.predict(x, 950))
    assert torch.equal(again.variance(950), done.variance(950))


def test_a_network_that_predicts_nothing_has_the_loss_of_pure_noise(store, config):
    network, images = build(PriorObjective(config, store)).ema, store.split("val").images
    loss = validation_loss(network, images, Target(NoiseSchedule()))
    assert loss == pytest.approx(1, abs=4 * (2 / images.size) ** 0.5)
    assert validation_loss(network, images, Target(NoiseSchedule())) == loss
