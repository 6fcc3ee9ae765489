"""Coil maps by ESPIRiT against those of the simulator, and maps from files."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.coil_maps import calibration_width, estimated_maps, read_maps
from a2a.evaluation.metrics import psnr
from a2a.forward.masks import equispaced_mask, poisson_mask
from a2a.forward.measured import KSpace
from a2a.forward.operators import fft2c
from a2a.forward.undersampling import birdcage_maps


def reconstructed(data: np.ndarray, mask: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Damped least squares."""
    operator, y = KSpace(torch.from_numpy(data), mask, maps, 0.0).measurement("T1")
    b = operator.adjoint(y)
    return operator.prox(torch.zeros_like(b), b, 1e-3).clamp(0, 1)


def test_estimated_maps_are_the_true_ones_up_to_a_phase_and_reconstruct_as_well(image, kspace):
    maps = torch.from_numpy(estimated_maps(kspace.data.numpy(), kspace.mask.numpy(), "T1"))
    assert maps.shape == (2, 6, 48, 48) and maps.dtype == torch.complex64
    torch.testing.assert_close(maps.abs().square().sum(dim=1), torch.ones(2, 48, 48), atol=1e-3, rtol=0)
    agreement = (maps.conj() * kspace.maps).sum(dim=1)
    head = image > 0.2
    assert float(agreement.abs()[head].min()) > 0.98 and float(agreement.abs()[head].mean()) > 0.998
    assert float(agreement.angle()[head].abs().mean()) < 0.03  # a real image has the phase 0
    truth = reconstructed(kspace.data.numpy(), kspace.mask, kspace.maps)
    found = reconstructed(kspace.data.numpy(), kspace.mask, maps)
    with_true, with_estimated = float(psnr(image, truth).mean()), float(psnr(image, found).mean())
    assert with_true > 35 and with_estimated > with_true - 6 and with_estimated > 32


def test_the_phase_of_the_image_goes_into_the_maps(image, kspace):
    y, x = np.mgrid[:48, :48] / 24 - 1
    phase = torch.from_numpy(np.exp(1j * (2.0 * x - 1.5 * y + x * y)).astype(np.complex64))
    data = torch.where(kspace.mask[:, None], fft2c(kspace.maps * (phase * image)[:, None]), 0).numpy()
    maps = torch.from_numpy(estimated_maps(data, kspace.mask.numpy(), "T1"))
    assert float(psnr(image, reconstructed(data, kspace.mask, maps)).mean()) > 30
    without = reconstructed(data, kspace.mask, kspace.maps)
    assert float(psnr(image, without).mean()) < 20


@pytest.mark.parametrize(
    ("mask", "width"),
    [
        (equispaced_mask(48, 4), 1),
        (equispaced_mask(48, 4, acs=16), 17),
        (equispaced_mask(48, 1), 24),
        (poisson_mask((48, 48), 4, acs=14), 14),
    ],
)
def test_the_centre_that_is_sampled_fully(mask, width):
    assert abs(calibration_width(mask.numpy(), (48, 48)) - width) <= 1


def test_too_few_central_lines_and_empty_slices_are_refused(kspace):
    with pytest.raises(InputError, match=r"1 central lines are sampled fully, too few .* or give maps of T1"):
        estimated_maps(kspace.data.numpy(), equispaced_mask(48, 4).numpy(), "T1")
    with pytest.raises(InputError, match="nothing but zeros"):
        estimated_maps(0 * kspace.data.numpy(), kspace.mask.numpy(), "T1")


def test_maps_are_read_from_files(tmp_path):
    maps = birdcage_maps(4, 8, 8).numpy()
    np.save(tmp_path / "maps.npy", maps.astype(np.complex128))
    np.testing.assert_array_equal(read_maps(tmp_path / "maps.npy", "T1"), maps)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 8, 8)), "must be one complex array"),
        (np.zeros((8, 8), complex), "must be one complex array"),
        (np.array([{"a": 1}], dtype=object), "is of type object; needed are numbers"),
        (b"nothing", "damaged or no .npy file"),
        (b"", "damaged or no .npy file"),
        (None, "maps.npy: no such file; coil maps of T1 are a .npy file"),
    ],
)
def test_other_files_are_no_maps(tmp_path, content, message):
    path = tmp_path / "maps.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_maps(path, "T1")
