"""The benchmark for deepinv, where deepinv is installed: its physics is our operator, and its answers are ours."""

import runpy

import pytest
import torch

from a2a.common._torchvision import ensure_torchvision
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.common.rng import generator, spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.interface import Any2all

ensure_torchvision()
pytest.importorskip("deepinv", reason="the extra bench is not installed")

SIDE = 24


@pytest.fixture(scope="module")
def bench():
    return runpy.run_path(str(repository("benchmarks", "deepinv_scenario.py")))


def observe(spec, text="T1 + y(T2FLAIR)"):
    truth = torch.rand(3, len(spec), SIDE, SIDE, generator=generator(0))
    return truth, Observation.simulate(truth, text, spec, generators=spawn(1, range(3)))


@pytest.fixture(scope="module")
def observed():
    return observe(StackSpec.of("T1", "T2FLAIR"))[1]


def test_the_physics_passes_the_adjointness_test_of_deepinv(bench, observed):
    physics = bench["ModalityPhysics"](observed)
    x = torch.rand(3, 1, SIDE, SIDE, generator=generator(2))
    assert physics.adjointness_test(x, num_samples=4) < 1e-5
    torch.testing.assert_close(physics.A(x), bench["as_reals"](observed.operator.blocks[1].forward(x[:, 0])))


def test_least_squares_by_deepinv_is_our_answer(bench, observed):
    from deepinv.physics import LinearPhysics

    physics, operator = bench["ModalityPhysics"](observed), observed.operator.blocks[1]
    y, z = bench["as_reals"](observed.data[1]), torch.rand(3, 1, SIDE, SIDE, generator=generator(3))
    options = {"solver": "CG", "max_iter": 500, "tol": 1e-7}
    theirs = LinearPhysics.prox_l2(physics, z, y, 50.0, **options)
    ours = operator.prox(z[:, 0], observed.adjoint[:, 1], 1 / 50)
    torch.testing.assert_close(theirs[:, 0], ours, rtol=0, atol=2e-4)
    torch.testing.assert_close(physics.prox_l2(z, y, 50.0)[:, 0], ours)
    plain = physics.A_dagger(y)
    again = physics.A_adjoint(physics.A(plain) - y)
    assert again.norm() < 1e-3 * physics.A_adjoint(y).norm()


def test_a_model_of_ours_runs_in_the_benchmark_of_deepinv(bench, tiny_prior):
    from deepinv import test
    from deepinv.loss.metric import PSNR
    from torch.utils.data import DataLoader

    truth, observed = observe(tiny_prior.spec)
    physics = bench["ModalityPhysics"](observed)
    slices, method = bench["Slices"](truth, observed, physics), Any2all(tiny_prior, "mds", {"steps": 2})
    slices.check_dataset()
    quiet = {"verbose": False, "show_progress_bar": False, "no_learning_method": "A_dagger"}
    scores = test(bench["Completer"](method), DataLoader(slices, batch_size=3), physics, [PSNR()], **quiet)
    done = method.complete(observed, 1, spawn(0, range(3), 1)).samples[0][:, 1, None]
    assert scores["PSNR"] == pytest.approx(float(PSNR()(done, truth[:, 1, None]).mean()), abs=1e-3)
    least = PSNR()(physics.A_dagger(slices.y), truth[:, 1, None])
    assert scores["PSNR no learning"] == pytest.approx(float(least.mean()), abs=1e-3)


def test_several_measured_modalities_are_refused(bench):
    with pytest.raises(InputError, match="exactly one measured modality"):
        bench["ModalityPhysics"](observe(StackSpec.of("T1", "T2FLAIR"), "y(T1) + y(T2FLAIR)")[1])
