"""Every operator against the same laws, and against dense algebra written in NumPy without any FFT."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.forward.masks import equispaced_mask, random_mask
from a2a.forward.operators import CartesianSense, Identity, Missing, cg
from a2a.forward.undersampling import birdcage_maps


def real(seed, *shape):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def rough_maps(coils, height, width):
    """Maps without any symmetry or normalisation."""
    return torch.complex(real(1, coils, height, width), real(2, coils, height, width))


def mask_2d(height, width):
    return torch.rand(height, width, generator=generator(3)) < 0.4


EQUISPACED = {
    f"equispaced {h}x{w} R={r} offset={o}": CartesianSense(equispaced_mask(h, r, o), rough_maps(3, h, w))
    for h, w, r in [(8, 8, 1), (8, 8, 2), (8, 8, 4), (12, 5, 3), (15, 4, 5)]
    for o in range(r)
}
BIRDCAGE = {
    f"birdcage R=4 offset={o}": CartesianSense(equispaced_mask(8, 4, o), birdcage_maps(8, 8, 8)) for o in range(4)
}
EXACT = (
    EQUISPACED
    | BIRDCAGE
    | {
        "calibration lines": CartesianSense(equispaced_mask(8, 4, acs=3), birdcage_maps(4, 8, 8)),
        "one coil, too few data": CartesianSense(equispaced_mask(8, 4), rough_maps(1, 8, 8)),
        "random lines": CartesianSense(random_mask(8, 2, seed=5), rough_maps(2, 8, 8)),
        "random lines, odd": CartesianSense(random_mask(9, 3, seed=5), rough_maps(2, 9, 4)),
        "period 4, two lines in each": CartesianSense(torch.tensor([1, 1, 0, 0] * 2) > 0, rough_maps(2, 8, 6)),
        "2-D mask of whole lines": CartesianSense(equispaced_mask(8, 4)[:, None].expand(8, 6), rough_maps(2, 8, 6)),
    }
)
ITERATIVE = {
    "2-D mask": CartesianSense(mask_2d(8, 8), rough_maps(3, 8, 8)),
    "2-D mask, odd": CartesianSense(mask_2d(7, 9), birdcage_maps(5, 7, 9)),
    "lines along W": CartesianSense(equispaced_mask(8, 2)[None].expand(8, 8), birdcage_maps(4, 8, 8)),
}
SENSE = EXACT | ITERATIVE
ALL = {"identity": Identity(), "missing": Missing()} | SENSE


def image_size(operator):
    return operator.shape if isinstance(operator, CartesianSense) else (8, 6)


def images(operator, seed=0, batch=3):
    return real(seed, batch, *image_size(operator))


def data_like(operator, x):
    y = operator.forward(x)
    return torch.complex(real(8, *y.shape), real(9, *y.shape)) if y.is_complex() else real(8, *y.shape)


def inner(a, b):
    return float((a.conj() * b).real.sum()) if a.is_complex() else float((a * b).sum())


def dft(n):
    """Centred orthonormal Fourier matrix, written out."""
    centred = np.arange(n) - n // 2
    return np.exp(-2j * np.pi * np.outer(centred, centred) / n) / np.sqrt(n)


def dense(operator):
    """Real matrix (2 coils H W, H W) of a `CartesianSense`: real parts above imaginary parts."""
    height, width = operator.shape
    fourier = np.kron(dft(height), dft(width))
    mask = np.broadcast_to(operator.mask.numpy().reshape(height, -1), (height, width)).reshape(-1, 1)
    maps = operator.maps.to(torch.complex128).numpy()
    rows = np.concatenate([mask * fourier * s.reshape(1, -1) for s in maps])
    return np.concatenate([rows.real, rows.imag])


@pytest.mark.parametrize("operator", ALL.values(), ids=ALL)
class TestEveryOperator:
    def test_adjoint(self, operator):
        x = images(operator)
        y = data_like(operator, x)
        left, right = inner(operator.forward(x), y), inner(x, operator.adjoint(y))
        assert left == pytest.approx(right, rel=1e-12, abs=1e-12)

    def test_is_linear(self, operator):
        x, v = images(operator, 0), images(operator, 1)
        together = operator.forward(2 * x - 3 * v)
        torch.testing.assert_close(together, 2 * operator.forward(x) - 3 * operator.forward(v))

    def test_normal_is_adjoint_of_forward(self, operator):
        x = images(operator)
        torch.testing.assert_close(operator.normal(x), operator.adjoint(operator.forward(x)), rtol=1e-11, atol=1e-11)

    @pytest.mark.parametrize("lam", [1e-3, 20.0])
    def test_prox_solves_the_normal_equations(self, operator, lam):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        x = operator.prox(z, b, lam)
        torch.testing.assert_close(operator.normal(x) + lam * x, b + lam * z, rtol=1e-9, atol=1e-9)

    def test_one_correction_serves_the_misfit_and_every_weight(self, operator):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        near = operator.data_fidelity(b)(z)
        data = operator.forward(z).reshape(len(z), -1)
        expected = torch.view_as_real(data) if data.is_complex() else data
        expected = expected.flatten(1).square().sum(dim=1) - 2 * (z * b).sum(dim=(1, 2))
        torch.testing.assert_close(near.misfit(), expected, rtol=1e-10, atol=1e-10)
        for lam in (0.02, 3.0):
            assert torch.equal(near.solve(lam), operator.prox(z, b, lam))

    def test_a_weight_for_each_image(self, operator):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        lam = torch.tensor([0.01, 0.5, 7.0])
        together = operator.prox(z, b, lam[:, None, None])
        for i, weight in enumerate(lam):
            alone = operator.prox(z[i : i + 1], b[i : i + 1], float(weight))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-6, atol=1e-9)

    def test_no_image_depends_on_its_batch(self, operator):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        hard, easy = b, 1e-3 * b
        alone = operator.prox(z[:1], hard[:1], 0.05)
        together = operator.prox(z, torch.cat([hard[:1], easy[1:]]), 0.05)
        torch.testing.assert_close(together[:1], alone, rtol=1e-11, atol=1e-11)  # transforms round with the batch

    def test_single_precision(self, operator):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        single = operator.prox(z.float(), b.float(), 0.1)
        assert single.dtype == torch.float32
        loose = isinstance(operator, CartesianSense) and operator.solver == "conjugate gradients"
        error = (single.double() - operator.prox(z, b, 0.1)).abs().max()
        assert error < (1e-4 / 0.1 * b.norm() if loose else 2e-4)
        assert operator.normal(z.float()).dtype == torch.float32
        weights = torch.full((3, 1, 1), 0.1, dtype=torch.float64)
        assert operator.prox(z.float(), b.float(), weights).dtype == torch.float32

    @pytest.mark.parametrize("lam", [-0.1, float("nan"), float("inf"), torch.tensor(-1.0), torch.ones(2, 1, 1)])
    def test_bad_weights_are_refused(self, operator, lam):
        z = images(operator)
        with pytest.raises(InputError, match="lam"):
            operator.prox(z, z, lam)


@pytest.mark.parametrize("operator", SENSE.values(), ids=SENSE)
class TestAgainstDenseAlgebra:
    def test_forward_and_adjoint(self, operator):
        matrix, x = dense(operator), images(operator, batch=2)
        y = operator.forward(x).flatten(1)
        expected = x.flatten(1).numpy() @ matrix.T
        np.testing.assert_allclose(torch.cat([y.real, y.imag], dim=1).numpy(), expected, atol=1e-12)
        back = operator.adjoint(operator.forward(x)).flatten(1).numpy()
        np.testing.assert_allclose(back, expected @ matrix, atol=1e-11)

    @pytest.mark.parametrize("lam", [1e-3, 1.0])
    def test_prox(self, operator, lam):
        matrix, z = dense(operator), images(operator, 1, batch=2)
        y = data_like(operator, z)
        x = operator.prox(z, operator.adjoint(y), lam).flatten(1).numpy()
        stacked = torch.cat([y.flatten(1).real, y.flatten(1).imag], dim=1).numpy()
        rhs = matrix.T @ stacked.T + lam * z.flatten(1).numpy().T
        expected = np.linalg.solve(matrix.T @ matrix + lam * np.eye(matrix.shape[1]), rhs).T
        np.testing.assert_allclose(x, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("operator", EXACT.values(), ids=EXACT)
class TestExactSolver:
    def test_without_weight_least_squares_nearest_to_z(self, operator):
        matrix, z = dense(operator), images(operator, 1, batch=1)
        y = data_like(operator, z)
        stacked = torch.cat([y.flatten().real, y.flatten().imag]).numpy()
        x = operator.prox(z, operator.adjoint(y), 0.0).flatten().numpy()
        start = z.flatten().numpy()
        expected = start + np.linalg.pinv(matrix, rcond=1e-9) @ (stacked - matrix @ start)
        np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())

    def test_without_weight_noise_in_unseen_directions_is_no_danger(self, operator):
        z = images(operator, 1).float()
        b = operator.adjoint(operator.forward(images(operator, 2).float()))
        once, again = operator.prox(z, b, 0.0), operator.prox(z, b * (1 + 1e-7), 0.0)
        torch.testing.assert_close(once, again, rtol=1e-2, atol=1e-2)

    def test_eigenvalues(self, operator):
        matrix = dense(operator)
        expected = np.linalg.eigvalsh(matrix.T @ matrix)
        np.testing.assert_allclose(operator.eigenvalues().numpy(), expected, atol=1e-10 * expected.max())

    def test_agrees_with_conjugate_gradients(self, operator):
        z, b = images(operator, 0), operator.adjoint(data_like(operator, images(operator)))
        result = cg(lambda x: operator.adjoint(operator.forward(x)) + 0.2 * x, b + 0.2 * z, z, 1e-12, 500)
        assert bool(result.converged.all())
        torch.testing.assert_close(operator.prox(z, b, 0.2), result.x, rtol=1e-8, atol=1e-8)

    def test_needs_no_fourier_transform(self, operator):
        z = images(operator)
        operator.prox(z, z, 0.1)
        with Calls() as calls:
            operator.normal(operator.prox(z, z, 0.1))
        assert calls.names and not [name for name in calls.names if "fft" in name]
        with Calls() as calls:
            operator.forward(z)
        assert [name for name in calls.names if "fft" in name]


class Calls(TorchDispatchMode):
    """Records the names of the tensor operations that run inside it."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "coupled", "solver"),
    [
        ("equispaced 8x8 R=4 offset=1", 4, "exact"),
        ("equispaced 8x8 R=1 offset=0", 1, "exact"),
        ("calibration lines", 8, "exact"),
        ("period 4, two lines in each", 4, "exact"),
        ("2-D mask of whole lines", 4, "exact"),
        ("2-D mask", None, "conjugate gradients"),
    ],
)
def test_the_smallest_exact_systems_are_found(name, coupled, solver):
    assert (SENSE[name].coupled, SENSE[name].solver) == (coupled, solver)


def test_clean_modality_is_copied_bit_for_bit():
    z, b = torch.rand(2, 5, 5), torch.rand(2, 5, 5)
    assert torch.equal(Identity().prox(z, b, 0.0), b)
    assert torch.equal(Identity().prox(z, b, torch.zeros(2, 1, 1)), b)


def test_pixels_that_no_coil_sees_keep_z():
    maps = birdcage_maps(4, 16, 16)
    maps[:, :, :5] = 0
    for mask in (equispaced_mask(16, 2), random_mask(16, 2), mask_2d(16, 16)):
        operator, z = CartesianSense(mask, maps), torch.rand(2, 16, 16)
        x = operator.prox(z, operator.adjoint(operator.forward(torch.rand(2, 16, 16))), 0.01)
        torch.testing.assert_close(x[..., :5], z[..., :5], rtol=1e-5, atol=1e-6)
    exact = CartesianSense(equispaced_mask(16, 2), maps)
    x = exact.prox(z, exact.adjoint(exact.forward(torch.rand(2, 16, 16))), 0.0)
    torch.testing.assert_close(x[..., :5], z[..., :5], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mask", [equispaced_mask(64, 4), random_mask(64, 4)], ids=["elementwise", "matrix products"])
def test_autocast_does_not_lower_the_precision(mask):
    operator, z = CartesianSense(mask, birdcage_maps(4, 64, 8)), torch.rand(2, 64, 8)
    expected = operator.prox(z, z, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(operator.prox(z, z, 0.1), expected)


@pytest.mark.parametrize("mask", [equispaced_mask(64, 4), random_mask(64, 4)], ids=["elementwise", "matrix products"])
def test_one_image_is_solved_as_in_a_batch(mask):
    operator = CartesianSense(mask, birdcage_maps(4, 64, 8).to(torch.complex128))
    z = torch.rand(3, 64, 8, dtype=torch.float64, requires_grad=True)
    together = operator.prox(z, z.detach(), 0.1)
    alone = torch.cat([operator.prox(one, one.detach(), 0.1) for one in z.split(1)])
    torch.testing.assert_close(alone, together)
    gradients = [torch.autograd.grad(x.square().sum(), z)[0] for x in (alone, together)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("mask", [equispaced_mask(8, 2), random_mask(8, 2), mask_2d(8, 8)], ids=["R", "H", "cg"])
def test_built_in_inference_mode_usable_in_gradients(mask):
    with torch.inference_mode():
        operator = CartesianSense(mask, birdcage_maps(2, 8, 8))
        operator.normal(operator.adjoint(operator.forward(torch.rand(1, 8, 8))))
    x = torch.rand(1, 8, 8, dtype=torch.float32, requires_grad=True)
    (gradient,) = torch.autograd.grad(0.5 * (x * operator.normal(x)).sum(), x)
    torch.testing.assert_close(gradient, operator.normal(x.detach()), rtol=1e-4, atol=1e-5)


MAPS = birdcage_maps(2, 8, 6)


@pytest.mark.parametrize(
    ("mask", "maps", "message"),
    [
        (equispaced_mask(8, 2), MAPS.real, "complex"),
        (equispaced_mask(8, 2), MAPS[0], "coils, H, W"),
        (equispaced_mask(8, 2), MAPS * float("nan"), "finite"),
        (equispaced_mask(8, 2).float(), MAPS, "boolean"),
        (equispaced_mask(6, 2), MAPS, r"\(6,\); expected \(8,\) or \(8, 6\)"),
        (torch.ones(6, 8) > 0, MAPS, r"\(6, 8\)"),
        (torch.zeros(8) > 0, MAPS, "samples nothing"),
    ],
)
def test_bad_masks_and_maps_are_refused(mask, maps, message):
    with pytest.raises(InputError, match=message):
        CartesianSense(mask, maps)


def test_bad_images_and_kspace_are_refused():
    operator = CartesianSense(equispaced_mask(8, 2), MAPS)
    good, wrong = torch.rand(1, 8, 6), torch.rand(1, 6, 8)
    for call in (operator.forward, operator.normal, lambda x: operator.prox(x, x, 0.1)):
        with pytest.raises(InputError, match=r"\(1, 6, 8\).*\(B, 8, 6\)"):
            call(wrong)
        with pytest.raises(InputError, match="float32 or float64"):
            call(good.half())
    with pytest.raises(InputError, match="agree"):
        operator.prox(good, torch.rand(2, 8, 6), 0.1)
    with pytest.raises(InputError, match=r"\(1, 3, 8, 6\).*\(B, 2, 8, 6\)"):
        operator.adjoint(torch.zeros(1, 3, 8, 6, dtype=torch.complex64))
    with pytest.raises(InputError, match="complex"):
        operator.adjoint(torch.zeros(1, 2, 8, 6))
    with pytest.raises(InputError, match="varies along W"):
        CartesianSense(mask_2d(8, 6), MAPS).eigenvalues()
