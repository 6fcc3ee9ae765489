"""Simulated and own data: what is measured, how much noise, residuals, batches, refusals."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator, spawn
from a2a.forward.masks import equispaced_mask
from a2a.forward.measured import KSpace, scaled_image
from a2a.forward.observation import Observation
from a2a.forward.operators import fft2c
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling, birdcage_maps

SPEC = StackSpec.of("T1", "T2FLAIR", "T2star", "CT")
MIXED = "T1 + y(T2FLAIR) + y(T2star)"


def stacks(batch=3, height=16, width=12, dtype=torch.float32):
    return torch.rand(batch, 4, height, width, generator=generator(5), dtype=dtype)


def simulated(x=None, text=MIXED, **options):
    return Observation.simulate(stacks() if x is None else x, text, SPEC, **options)


def distances(observation, x):
    """||y_i - A_i x_i||^2 with every A applied."""
    pairs = zip(observation.data, observation.operator.forward(x), strict=True)
    return torch.stack([(y - ax).abs().square().flatten(1).sum(1) for y, ax in pairs], dim=1)


def test_data_by_kind():
    x, observation = stacks(), simulated()
    assert observation.kinds == ("clean", "measured", "measured", "missing")
    assert observation.noise_std == (0.0, 0.01, 0.01, 0.0) and observation.shape == (3, 16, 12)
    assert torch.equal(observation.data[0], x[:, 0]) and observation.data[3].numel() == 0
    assert torch.equal(observation.adjoint[:, 0], x[:, 0]) and not observation.adjoint[:, 3].any()
    assert observation.operator.groups == ((0,), (1, 2))
    assert repr(observation) == "Observation('T1 + y(T2FLAIR) + y(T2star)', shape=(3, 16, 12))"


def test_clean_data_do_not_alias_the_truth():
    x = stacks()
    observation = simulated(x)
    before = observation.data[0].clone()
    x.zero_()
    assert torch.equal(observation.data[0], before)


def test_noise_on_sampled_lines_only_and_of_the_stated_size():
    x = stacks(8, 64, 64)
    observation = simulated(x, undersampling=Undersampling(noise_std=0.02), clean_noise_std=0.1)
    exact = observation.operator.forward(x)
    mask = equispaced_mask(64, 4)
    noise = observation.data[1] - exact[1]
    assert not noise[:, :, ~mask].any()
    assert float(noise[:, :, mask].real.std()) == pytest.approx(0.02, rel=0.01)
    assert float(noise[:, :, mask].imag.std()) == pytest.approx(0.02, rel=0.01)
    assert float((observation.data[0] - exact[0]).std()) == pytest.approx(0.1, rel=0.02)
    assert observation.noise_std == (0.1, 0.02, 0.02, 0.0)


def test_a_modality_gets_the_same_noise_whatever_else_is_given():
    one, two = simulated(text="y(T2star)"), simulated(text="CT + y(T2FLAIR) + y(T2star)")
    assert torch.equal(one.data[2], two.data[2])
    exact = two.operator.forward(stacks())
    assert float((two.data[1] - exact[1] - two.data[2] + exact[2]).abs().max()) > 0.01


def test_generators_advance_alike_whatever_the_scenario():
    after = []
    for text in ("", MIXED):
        generators = spawn(1, 3)
        simulated(text=text, generators=generators)
        after.append([int(torch.randint(2**62, (), generator=g)) for g in generators])
    assert after[0] == after[1]


def test_an_items_noise_is_its_generators():
    x = stacks()
    whole = simulated(x, generators=spawn(3, 3))
    part = simulated(x[1:2], generators=spawn(3, [1]))
    assert torch.equal(whole.data[1][1:2], part.data[1])
    assert not torch.equal(whole.data[1], simulated(x, generators=spawn(4, 3)).data[1])


def test_energy_and_residual_are_those_of_the_data():
    observation = simulated(stacks(dtype=torch.float64))
    x = stacks(dtype=torch.float64).flip(0)
    assert torch.equal(observation.energy[:, 3], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(observation.energy, distances(observation, torch.zeros_like(x)))
    torch.testing.assert_close(observation.residual_norm2(x), distances(observation, x), rtol=1e-11, atol=1e-11)


def test_residual_in_single_precision_resolves_the_noise():
    x = stacks(2, 64, 64)
    observation = simulated(x)
    residual = observation.residual_norm2(x)
    assert residual.dtype == torch.float64 and not residual[:, [0, 3]].any()
    expected = 2 * 8 * 64 * 16 * 0.01**2
    torch.testing.assert_close(residual[:, 1], torch.full((2,), expected, dtype=torch.float64), rtol=0.1, atol=0)


def test_residual_of_exact_data_is_never_negative():
    x = stacks(32)
    residual = simulated(x, undersampling=Undersampling(noise_std=0.0)).residual_norm2(x)
    assert float(residual.min()) >= 0 and float(residual.max()) < 1e-4


def test_misfit_gradient_is_the_derivative_of_the_norms():
    observation = simulated(stacks(dtype=torch.float64), clean_noise_std=0.1)
    x = stacks(dtype=torch.float64).flip(0).requires_grad_()
    (expected,) = torch.autograd.grad(distances(observation, x)[:, :3].sqrt().sum(), x)
    torch.testing.assert_close(observation.misfit_gradient(x.detach()), expected)


def test_misfit_gradient_where_data_are_met_exactly_is_zero():
    x = stacks()
    assert not simulated(x, text="T1").misfit_gradient(x).any()


def test_slices_and_repeats_of_the_batch():
    observation = simulated()
    twice = observation.repeat(2)
    assert twice.shape == (6, 16, 12)
    for part in (twice[:3], twice[3:]):
        torch.testing.assert_close(part.adjoint, observation.adjoint)
        torch.testing.assert_close(part.energy, observation.energy)
    assert torch.equal(observation[1:2].data[1], observation.data[1][1:2])
    with pytest.raises(InputError, match="slice"):
        observation[1]


def test_joined_observations_give_what_either_gives_and_the_newer_of_both():
    x, newer = stacks(), simulated(text="T2FLAIR + y(CT)", undersampling=Undersampling(acceleration=2))
    joined = simulated(x).joined(newer)
    assert str(joined.scenario) == "T1 + T2FLAIR + y(T2star) + y(CT)" and joined.noise_std == (0.0, 0.0, 0.01, 0.01)
    assert torch.equal(joined.data[0], x[:, 0]) and torch.equal(joined.data[3], newer.data[3])
    assert torch.equal(joined.adjoint[:, 1], newer.adjoint[:, 1])
    assert joined.operator.blocks[3] is newer.operator.blocks[3]
    assert str(joined.joined(simulated(x, "nothing")).scenario) == str(joined.scenario)


def test_observations_of_other_stacks_are_not_joined():
    with pytest.raises(InputError, match="joined: .* is not of the stacks of"):
        simulated().joined(simulated()[0:2])


def test_moving_keeps_everything():
    observation = simulated()
    moved = observation.to(torch.empty(0, device="meta"))
    assert {y.device.type for y in moved.data} == {"meta"} and moved.kinds == observation.kinds
    assert torch.equal(observation.to(torch.empty(0)).adjoint, observation.adjoint)
    precise = observation.to(torch.empty(0, dtype=torch.float64))
    assert {y.dtype for y in precise.data} == {torch.float64, torch.complex128}


def test_made_in_inference_mode_usable_in_gradients():
    with torch.inference_mode():
        observation = simulated()
        observation.adjoint, observation.energy  # noqa: B018
    x = stacks().flip(0).requires_grad_()
    (observation.residual_norm2(x).sum() + (observation.adjoint * x).sum() * observation.energy.sum()).backward()
    assert bool(x.grad[:, :3].any()) and not x.grad[:, 3].any()


def test_everything_missing_is_an_observation():
    x = stacks()
    for nothing in (simulated(x, text="nothing"), Observation.build(SPEC, {}, {}, shape=(3, 16, 12))):
        assert str(nothing.scenario) == "nothing" and nothing.shape == (3, 16, 12)
        assert not nothing.adjoint.any() and not nothing.residual_norm2(x).any()
        assert nothing.repeat(2)[1:4].adjoint.shape == (3, 4, 16, 12)


def test_own_data_are_observed_as_simulated_ones():
    x, maps, mask = stacks(), birdcage_maps(8, 16, 12), equispaced_mask(16, 4)
    full = fft2c(maps * x[:, 1:2])
    own = Observation.build(SPEC, {"t1": x[:, 0]}, {"FLAIR": KSpace(full, mask, maps, 0.0)})
    same = simulated(x, text="T1 + y(T2FLAIR)", undersampling=Undersampling(noise_std=0.0))
    assert own.scenario == same.scenario and own.noise_std == same.noise_std
    torch.testing.assert_close(own.adjoint, same.adjoint)
    torch.testing.assert_close(own.energy, same.energy)


def test_own_data_keep_their_precision():
    own = Observation.build(SPEC, {"T1": IMAGE.double()}, {})
    assert {y.dtype for y in own.data} == {own.adjoint.dtype} == {torch.float64}


MAPS, MASK = birdcage_maps(2, 16, 12), equispaced_mask(16, 4)
DATA = torch.ones(3, 2, 16, 12, dtype=torch.complex64)
IMAGE = torch.rand(3, 16, 12)


@pytest.mark.parametrize(
    ("images", "kspace", "message"),
    [
        ({}, {}, r"shape = \(B, H, W\)"),
        ({"T9": IMAGE}, {}, "T9.*this stack has"),
        ({"T1": IMAGE, "t1": IMAGE}, {}, "T1 is given twice"),
        ({"FLAIR": IMAGE}, {"T2FLAIR": KSpace(DATA, MASK, MAPS, 0.01)}, "T2FLAIR is given twice"),
        ({"T1": IMAGE}, {"T1": KSpace(DATA, MASK, MAPS, 0.01)}, "T1 is given twice"),
        ({"T1": IMAGE[:, None]}, {}, r"T1.*\(3, 1, 16, 12\)"),
        ({"T1": (IMAGE > 0.5)}, {}, "T1 is torch.bool"),
        ({"CT": 1000 * IMAGE}, {}, r"CT has values from .* scale it to \[0, 1\]"),
        ({"T1": IMAGE * float("nan")}, {}, "T1 has values from nan"),
        ({"T1": IMAGE, "CT": IMAGE[:2]}, {}, r"\(3, 16, 12\), got .*CT.*\(2, 16, 12\)"),
        ({"CT": IMAGE[:2]}, {"T1": KSpace(DATA, MASK, MAPS, 0.01)}, "Sizes"),
        ({}, {"T1": KSpace(DATA[:, :1], MASK, MAPS, 0.01)}, r"k-space of T1.*\(3, 1, 16, 12\).*\(B, 2, 16, 12\)"),
        ({}, {"T1": KSpace(DATA.real, MASK, MAPS, 0.01)}, "k-space of T1 is torch.float32"),
        ({}, {"T1": KSpace(DATA, MASK[:8], MAPS, 0.01)}, r"k-space of T1: mask has shape \(8,\)"),
        ({}, {"T1": KSpace(DATA * float("inf"), MASK, MAPS, 0.01)}, "not finite"),
        ({}, {"T1": KSpace(DATA, MASK, MAPS, -1.0)}, "noise_std of T1 is -1"),
    ],
)
def test_own_data_that_do_not_fit_are_refused(images, kspace, message):
    with pytest.raises(InputError, match=message):
        Observation.build(SPEC, images, kspace)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": stacks()[:, :3]}, r"finite \(B, 4, H, W\) .* shape is \(3, 3, 16, 12\)"),
        ({"x": stacks()[:0]}, r"its shape is \(0, 4, 16, 12\)"),
        ({"x": stacks() / 0}, "x must be finite"),
        ({"clean_noise_std": float("inf")}, "clean_noise_std = inf must be finite"),
        ({"text": "T1 + y(T7)"}, "character 8"),
        ({"generators": spawn(0, 2)}, "generators: got 2 for 3 items"),
        ({"clean_noise_std": -1.0}, "clean_noise_std"),
        ({"x": stacks(height=18)}, "R = 4 does not divide H = 18"),
    ],
)
def test_bad_simulations_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulated(**options)


def test_parts_must_agree():
    good = simulated()
    with pytest.raises(InputError, match="one batch"):
        Observation(SPEC, good.scenario, good.operator, good.data[:3], good.noise_std)
    with pytest.raises(InputError, match="one batch"):
        Observation(SPEC, good.scenario, good.operator, (good.data[0][:1], *good.data[1:]), good.noise_std)


@pytest.mark.parametrize(("low", "high", "fits"), [(-1.0, 2.0, True), (-1.01, 1.0, False), (0.0, 2.01, False)])
def test_an_image_may_leave_its_range_by_as_much_as_noise_and_ringing_do(low, high, fits):
    image = torch.tensor([[[low, high]]])
    if fits:
        assert torch.equal(scaled_image("T1", image), image)
    else:
        with pytest.raises(InputError, match="Image of T1 has values from"):
            scaled_image("T1", image)
