"""Scanner k-space on the prior's grid: every step against the image that it should show."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.frame import Grid
from a2a.data.kspace.grid import ScannerKSpace, centred, noise_std, to_grid, transform
from a2a.forward.operators import fft2c

SIZE, FIELD = 48, 192.0
ALL = np.ones(SIZE, dtype=bool)


def both(values: np.ndarray, inverse: bool = False) -> np.ndarray:
    return transform(transform(values, -2, inverse), -1, inverse)


@pytest.fixture
def scan(image: torch.Tensor) -> ScannerKSpace:
    """Complete k-space of one coil, rows along the readout."""
    return ScannerKSpace(both(image.numpy()[:, None].astype(np.complex64)), ALL, (FIELD, FIELD), "PLS", 0.01)


def test_the_transform_is_that_of_the_operators(image):
    np.testing.assert_allclose(both(image.numpy().astype(np.complex64)), fft2c(image).numpy(), atol=1e-5)


def test_what_is_on_the_grid_stays_as_it_is(scan, grid):
    placed = to_grid(scan, grid)
    np.testing.assert_array_equal(placed.data, scan.data)
    assert placed.mask.tolist() == ALL.tolist() and placed.noise_std == 0.01


@pytest.mark.parametrize("readout", [96, 60, 40])
def test_the_readout_is_cut_or_padded_in_image_space(scan, grid, image, readout):
    field = FIELD * readout / SIZE
    longer = transform(centred(transform(scan.data, 2, inverse=True), readout, 2), 2)
    placed = to_grid(replace(scan, data=longer, field_of_view_mm=(field, FIELD)), grid)
    start = max(SIZE - readout, 0) // 2
    inner = slice(start, SIZE - start)
    found = both(placed.data, inverse=True)[:, 0].real
    np.testing.assert_allclose(found[:, inner], image.numpy()[:, inner], atol=1e-5)
    assert np.abs(found[:, :start]).max(initial=0) < 1e-5 and placed.noise_std == 0.01


def test_a_finer_matrix_keeps_the_values_of_the_image(scan, grid, image):
    finer = centred(centred(scan.data, 72, 2), 64, 3) * np.float32(np.sqrt(72 * 64) / SIZE)
    placed = to_grid(replace(scan, data=finer, lines=np.ones(64, bool), noise_std=0.01), grid)
    np.testing.assert_allclose(both(placed.data, inverse=True)[:, 0].real, image.numpy(), atol=1e-5)
    assert placed.noise_std == pytest.approx(0.01 * SIZE / np.sqrt(72 * 64)) and len(placed.mask) == SIZE


def turned(values: np.ndarray, axes: str) -> np.ndarray:
    """Images ``(..., slices first, P, L)`` as an acquisition with other axes sees them, pixel n // 2 in the middle."""
    if axes[0] in "LR":
        values = values.swapaxes(-2, -1)
    for axis, letter in ((-2, axes[0]), (-1, axes[1])):
        if letter in "AR":
            values = np.roll(np.flip(values, axis), 1, axis)
    return values[::-1] if axes[2] == "I" else values


@pytest.mark.parametrize("axes", ["PLS", "ALS", "PRS", "ARI", "LPS", "RPS", "LAI", "RAS"])
def test_images_come_out_upright_from_every_direction(scan, grid, image, axes):
    lines = ALL.copy()
    lines[5] = lines[20] = False
    seen = turned(image.numpy(), axes)[:, None].astype(np.complex64)
    data = np.where(lines, both(np.ascontiguousarray(seen)), 0)
    placed = to_grid(replace(scan, data=data, lines=lines, axes=axes), grid)
    expected = both(image.numpy()[:, None].astype(np.complex64))
    full_mask = np.broadcast_to(placed.mask.reshape(SIZE, -1), (SIZE, SIZE))
    np.testing.assert_allclose(placed.data, np.where(full_mask, expected, 0), atol=1e-5)
    assert placed.mask.ndim == (1 if axes[1] in "AP" else 2) and full_mask.mean() == pytest.approx(46 / 48)


def test_noise_is_estimated_at_the_rim_before_anything_is_cut(scan):
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=(2, 4, 96, 96)) + 1j * rng.normal(size=(2, 4, 96, 96))).astype(np.complex64)
    signal = centred(centred(np.repeat(scan.data, 4, axis=1) * 100, 96, 2), 96, 3)
    lines = np.arange(96) % 2 == 0
    measured = replace(scan, data=np.where(lines, signal + 3 * noise, 0), lines=lines, noise_std=None)
    assert noise_std(measured) == pytest.approx(3, rel=0.03)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axes": None}, r"does not say how the patient lies in it; name its axes.* \(--kspace-axes\)"),
        ({"axes": "PPS"}, "axes 'PPS' are none"),
        ({"axes": "xyz"}, "axes 'XYZ' are none"),
        ({"axes": "PL"}, "axes 'PL' are none"),
        ({"axes": "SLP"}, "not of transverse slices"),
        ({"field_of_view_mm": (FIELD, 60.0)}, "its field of view covers 31% of the window of 192 mm"),
        ({"field_of_view_mm": (FIELD, 0.0)}, "field of view"),
        ({"lines": ALL[:20]}, r"mask has shape \(20,\); needed is \(48,\)"),
        ({"lines": ~ALL}, "mask samples nothing"),
        ({"data": np.zeros((2, 48, 48), np.complex64)}, "needed is complex"),
        ({"data": np.zeros((2, 1, 48, 48), np.float32)}, "k-space is float32"),
        ({"data": np.full((2, 1, 48, 48), np.nan, np.complex64)}, "NaN or infinite"),
        ({"data": np.zeros((2, 1, 48, 48), np.complex64)}, "nothing but zeros"),
        ({"lines": np.arange(SIZE) == 24, "noise_std": None}, "its noise level is unknown"),
    ],
)
def test_scans_that_do_not_fit_are_refused(scan, grid, change, message):
    with pytest.raises(InputError, match=message):
        to_grid(replace(scan, **change), grid)


def test_another_number_of_slices_is_refused(scan: ScannerKSpace, grid: Callable):
    with pytest.raises(InputError, match="it has 2 slices; needed are 5"):
        to_grid(scan, Grid(5, SIZE, FIELD))
