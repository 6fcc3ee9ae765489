"""The linear estimate is the exact one of stacks that are Gaussian at each pixel, at any noise levels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.references.regression import LinearRegression
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.gaussian import Gaussian, GaussianPrior
from a2a.prior.linear import FLOOR, LinearEstimate
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.samplers import mds, mps

SPEC, SIDE = StackSpec.of("T1", "CT", "PET"), 8
TIMES = [0, 300, 999, (0, 0, 999), (20, 700, 700), (999, 0, 500)]


def at_each_pixel(scale: float = 0.05) -> LinearEstimate:
    """Modalities that go together at each pixel in a way of its own."""
    draw = torch.Generator().manual_seed(0)
    root = scale * torch.randn(SIDE, SIDE, 3, 3, generator=draw, dtype=torch.float64)
    covariance = (root @ root.mT).permute(2, 3, 0, 1) + 1e-3 * torch.eye(3, dtype=torch.float64)[:, :, None, None]
    return LinearEstimate(0.4 + 0.2 * torch.rand(3, SIDE, SIDE, generator=draw, dtype=torch.float64), covariance)


def exact(estimate: LinearEstimate) -> GaussianPrior:
    """The same law as a Gaussian over whole stacks."""
    whole = torch.zeros(3, SIDE**2, 3, SIDE**2, dtype=torch.float64)
    pixels = torch.arange(SIDE**2)
    whole[:, pixels, :, pixels] = estimate.covariance.flatten(2).permute(2, 0, 1)
    return GaussianPrior(estimate.mean, whole.reshape(2 * (3 * SIDE**2,)), SPEC)


def silent(estimate: LinearEstimate | None) -> Prior:
    """A prior whose network answers 0."""
    config = UNetConfig(3, width=8, multipliers=(1, 2), attention=(), noise_levels="per-modality", stacks=2)
    network = UNet(config).eval().requires_grad_(False)
    return Prior(network, NoiseSchedule(), SPEC, SIDE, predicts="clean", linear=estimate)


def diffused(law: GaussianPrior, t: int | tuple[int, ...], count: int = 4) -> Tensor:
    """Diffused samples, float64."""
    stacks = to_model(Gaussian(law.mean, law.covariance).sample(spawn(1, count)))
    noise = torch.randn(stacks.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return law.schedule.diffuse(stacks, torch.tensor([t]).reshape(1, -1).expand(count, -1), noise)


@pytest.mark.parametrize("t", TIMES)
def test_it_is_the_exact_estimate_of_such_stacks(t):
    law = exact(at_each_pixel())
    x = diffused(law, t)
    estimate, deviation = at_each_pixel()(x, *law.schedule.coefficients(t, x))
    torch.testing.assert_close(estimate, law.predict(x, t), rtol=0, atol=1e-9)
    if isinstance(t, int):
        exact_variance = 4 * law.variance(t)
        torch.testing.assert_close(deviation.square().mean(dim=(0, 2, 3)), exact_variance, rtol=1e-6, atol=1e-9)


def test_levels_may_differ_from_stack_to_stack():
    estimate, schedule = at_each_pixel(), NoiseSchedule()
    times = torch.tensor([[0, 999, 500], [700, 3, 20]])
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    together = estimate(x, *schedule.coefficients(times, x))
    for row in range(2):
        alone = estimate(x[row : row + 1], *schedule.coefficients(times[row : row + 1], x))
        assert all(torch.allclose(a[row], b[0]) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize("t", TIMES)
def test_a_prior_whose_network_is_silent_is_exact_for_such_stacks(t):
    law = exact(at_each_pixel())
    x = diffused(law, t)
    found = silent(at_each_pixel()).predict(x.float(), t)
    torch.testing.assert_close(found.double(), law.predict(x, t).clamp(-1, 1), rtol=0, atol=2e-4)


@pytest.mark.parametrize("t", TIMES)
def test_no_line_at_a_pixel_is_better(t):
    """Not even the least-squares line through the very stacks that are asked about, whatever their law."""
    rng = np.random.default_rng(2)
    stacks = rng.uniform(0.1, 0.6, (600, 1, SIDE, SIDE)) ** [[[[0.5]], [[1.0]], [[2.0]]]] + rng.uniform(0, 0.3)
    fitted = LinearEstimate.fit(np.float32(stacks), "cross-modal")
    both = to_model(torch.from_numpy(np.float32(np.concatenate([stacks, stacks[..., ::-1]]))))
    times = torch.tensor([t]).reshape(1, -1).expand(len(both), -1)
    x = NoiseSchedule().diffuse(both, times, torch.randn(both.shape, generator=torch.Generator().manual_seed(6)))
    found = silent(fitted).predict(x, t)
    rows, wanted = _pixels(x), _pixels(both)
    rows = torch.cat([rows, torch.ones_like(rows[..., :1])], dim=-1)
    line = rows @ torch.linalg.lstsq(rows, wanted).solution
    error, least = ((part - wanted).square().mean(dim=(0, 1)) for part in (_pixels(found), line))
    assert (error <= 1.02 * least + 1e-4).all() and (least < wanted.var(dim=1).mean(dim=0)).all()


def _pixels(stacks: Tensor) -> Tensor:
    return stacks.permute(2, 3, 0, 1).flatten(0, 1).double()


def test_where_others_are_clean_and_one_is_noise_it_is_regression_on_them():
    rng = np.random.default_rng(0)
    given = rng.uniform(0.2, 0.8, (600, 2, SIDE, SIDE)).astype(np.float32)
    target = 0.3 * given[:, :1] - 0.4 * given[:, 1:] + 0.5
    stacks = np.concatenate([given, target], axis=1)
    fitted = LinearEstimate.fit(stacks, "cross-modal")
    x = torch.from_numpy(stacks[:5]) * 2 - 1
    schedule = NoiseSchedule()
    x = schedule.diffuse(x, torch.tensor([[0, 0, 999]]).expand(5, 3), torch.randn(x.shape))
    x[:, :2] = schedule.abar(0) ** 0.5 * torch.from_numpy(given[:5] * 2 - 1)
    expected = LinearRegression.fit(given, target).predict(given[:5])
    found = to_image(fitted(x, *schedule.coefficients((0, 0, 999), x))[0])[:, 2:]
    assert np.abs(found.numpy() - expected).max() < 0.01


def test_pixels_by_themselves_hear_nothing_of_other_modalities():
    stacks = to_image(torch.rand(50, 3, SIDE, SIDE)).numpy()
    estimate, schedule = LinearEstimate.fit(stacks, "pixel"), NoiseSchedule()
    x = torch.randn(2, 3, SIDE, SIDE)
    changed = x.clone()
    changed[:, 0] += 1
    a, b = (estimate(each, *schedule.coefficients(500, each))[0] for each in (x, changed))
    assert torch.equal(a[:, 1:], b[:, 1:]) and not torch.equal(a[:, 0], b[:, 0])


def test_each_modality_by_itself_is_the_estimate_without_the_others():
    known, schedule = at_each_pixel(), NoiseSchedule()
    own = torch.eye(3, dtype=torch.float64)[:, :, None, None]
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    for t in (0, 600, (0, 999, 300)):
        levels = schedule.coefficients(t, x)
        expected, _ = LinearEstimate(known.mean, own * known.covariance)(x, *levels)
        torch.testing.assert_close(known.alone(x, *levels), expected, rtol=0, atol=1e-9)


def test_the_noise_of_the_last_time_is_not_shown():
    """Whatever the network answers, it cannot depend on what it is not shown."""
    prior = silent(at_each_pixel())
    for p in prior.network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    x = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(8))
    x[:, 0] = x[:1, 0]
    found = prior.predict(x, (0, 999, 999))
    assert (found - found[:1]).abs().max() < 1e-3 and found.std() > 0.1


def test_it_is_measured_on_slices_and_their_mirror_images():
    stacks = np.random.default_rng(1).uniform(0, 1, (300, 2, 4, 4)).astype(np.float16)
    both = np.concatenate([stacks, stacks[..., ::-1]]).astype(np.float64)
    estimate = LinearEstimate.fit(stacks, "cross-modal")
    mean = both.mean(axis=0)
    covariance = np.einsum("bihw,bjhw->ijhw", both - mean, both - mean) / len(both)
    np.testing.assert_allclose(estimate.mean, mean, atol=1e-6)
    np.testing.assert_allclose(estimate.covariance, covariance + FLOOR * np.eye(2)[:, :, None, None], atol=1e-6)


def test_it_is_kept_with_the_weights_and_belongs_to_them(tmp_path):
    prior = silent(at_each_pixel())
    torch.nn.init.normal_(prior.network.tail[-1].weight, std=0.05)
    prior.save(tmp_path / "p.safetensors", dtype=torch.float16)
    again = Prior.load(tmp_path / "p.safetensors", SPEC)
    assert torch.equal(again.linear.covariance, prior.linear.covariance.float())
    x = torch.randn(2, 3, SIDE, SIDE)
    torch.testing.assert_close(again.predict(x, (0, 999, 999)), prior.predict(x, (0, 999, 999)), rtol=0, atol=5e-3)
    other = replace(prior, linear=LinearEstimate(prior.linear.mean, 2 * prior.linear.covariance))
    assert other.digest != prior.digest


@pytest.mark.parametrize("noise_levels", ["joint", "per-modality"])
def test_one_evaluation_does_not_depend_on_the_noise_where_the_network_is_silent(noise_levels):
    x = torch.full((1, 3, SIDE, SIDE), 0.5)
    given = Observation.simulate(x, "T1 + CT", SPEC)
    found = mds(silent(at_each_pixel()), given, steps=1, samples=3, noise_levels=noise_levels).samples[:, 0, 2]
    assert (found - found[0]).abs().max() < 1e-3


def test_guidance_goes_through_it():
    """The gradient of MPS reaches the given modality through the covariance, exactly as in the Gaussian itself."""
    law = exact(at_each_pixel())
    prior = silent(at_each_pixel())
    x = diffused(law, 400, 2).float().requires_grad_(True)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
    (found,) = torch.autograd.grad(prior.predict(x, 400), x, direction)
    y = x.detach().double().requires_grad_(True)
    (expected,) = torch.autograd.grad(law.predict(y, 400), y, direction.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    assert found[:, 0].abs().max() > 0


def test_what_does_not_fit_is_refused():
    good = at_each_pixel()
    with pytest.raises(InputError, match=r"covariance \(n, n, H, W\) are needed, got \(3, 8, 8\) and \(3, 8, 8\)"):
        LinearEstimate(good.mean, good.mean)
    with pytest.raises(InputError, match="the variances positive"):
        LinearEstimate(good.mean, 0 * good.covariance)
    with pytest.raises(InputError, match="must be finite"):
        LinearEstimate(good.mean * torch.nan, good.covariance)
    with pytest.raises(InputError, match=r"linear: it is of \(3, 8, 4\), but the prior is for \(3, 8, 8\)"):
        replace(silent(good), linear=LinearEstimate(good.mean[..., :4], good.covariance[..., :4]))
    with pytest.raises(InputError, match="it is shown 2 stacks, but what it predicts needs 1"):
        silent(None)


@pytest.mark.law
def test_mps_completes_with_it():
    """Of stacks of this law, MPS with as many evaluations as it likes comes near the exact posterior mean."""
    law, times = exact(at_each_pixel()), (0, 250, 500, 750, 999)
    known = Calibration(times, torch.stack([law.error_covariance(t) for t in times]))
    prior = replace(silent(at_each_pixel()), calibration=known)
    stack = Gaussian(law.mean, law.covariance).sample(spawn(9, 1)).clamp(0, 1).float()
    given = Observation.simulate(stack, "T1", SPEC)
    mean = mps(prior, given, steps=60, samples=60, batch=60).mean[0].double()
    error = (mean - law.posterior(given).mean)[1:].square().mean().sqrt()
    assert error < 0.25 * law.posterior(given).std[1:].square().mean().sqrt()
