"""Do data, operator, noise and given images agree? What people get wrong with k-space is refused with its cause."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.check import believable_noise, require_centred, require_explained, require_same_head
from a2a.data.kspace.grid import ScannerKSpace
from a2a.data.kspace.npz import KSpaceFile, write_kspace
from a2a.data.volumes.nifti import write_volume
from a2a.forward.measured import KSpace
from a2a.forward.operators import fft2c
from a2a.patient.read import read_patient

SIGNS = 1 - 2 * ((torch.arange(48)[:, None] + torch.arange(48)) % 2)
WRONG: dict[str, tuple[Callable, str]] = {
    "conjugate": (lambda y: y.conj().resolve_conj(), "as if it were conjugate"),
    "not centred": (lambda y: y * SIGNS, "as if it were of an image that is not centred"),
    "transposed": (lambda y: y.mT.contiguous(), "as if it were stored with rows and columns swapped"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_data_that_no_image_explains_are_refused_with_the_cause(kspace, fault):
    change, message = WRONG[fault]
    require_explained(kspace, "T1")
    with pytest.raises(InputError, match=rf"T1 does not fit .* 0\.\d+ a number, where the noise .*{message}"):
        require_explained(replace(kspace, data=change(kspace.data)), "T1")


def test_maps_of_another_scan_are_refused_without_a_cause(kspace):
    rolled = replace(kspace, maps=kspace.maps.roll(3, 0))
    with pytest.raises(InputError, match=r"does not fit its coil maps: .* where the noise is [\d.]+\.$"):
        require_explained(rolled, "T1")


@pytest.mark.parametrize("noise", [0.002, 0.05, 0.3])
def test_noise_of_the_stated_level_is_explained_and_a_small_misfit_of_the_maps_too(kspace, image, noise):
    exact = fft2c(kspace.maps * image[:, None])
    random = torch.randn(2, *exact.shape, generator=torch.Generator().manual_seed(1))
    loud = replace(kspace, data=exact + noise * torch.complex(random[0], random[1]), noise_std=noise)
    require_explained(loud, "T1")
    require_explained(replace(loud, maps=kspace.maps * (1 + 0.1 * torch.linspace(0, 1, 48))), "T1")


def test_zero_frequency_has_to_lie_in_the_middle(kspace):
    data = kspace.data.numpy()
    require_centred(data, "T1")
    for axes in ((2, 3), (2,), (3,)):
        with pytest.raises(InputError, match=r"largest energy of k-space of T1 lies at \(\d+, \d+\) of"):
            require_centred(np.fft.ifftshift(data, axes), "T1")


def noisy_scan(level: float, stated: float) -> ScannerKSpace:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1, 4, 64, 64)) + 1j * rng.normal(size=(1, 4, 64, 64))
    data = level * data
    data[:, :, 28:36, 28:36] += 1000 * level
    return ScannerKSpace(data.astype(np.complex64), np.ones(64, bool), (200.0, 200.0), "PLS", stated)


@pytest.mark.parametrize("factor", [1 / 268, 40.0])
def test_a_noise_scan_in_other_units_is_not_believed_and_that_is_said(capsys, monkeypatch, factor):
    monkeypatch.delenv("A2A_QUIET", raising=False)
    found = believable_noise(noisy_scan(3.0, 3.0 * factor), "g.h5")
    assert found.noise_std == pytest.approx(3.0, rel=0.05)
    assert "g.h5: the noise scan has" in capsys.readouterr().err


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_any_other_noise_scan_is_believed(capsys, factor):
    assert believable_noise(noisy_scan(3.0, 3.0 * factor), "g.h5").noise_std == 3.0 * factor
    assert capsys.readouterr().err == ""


TURNED = {
    "turned by 180 degrees: it may be conjugate": lambda x: x.flip(1, 2),
    "mirrored from front to back": lambda x: x.flip(1),
    "mirrored from left to right": lambda x: x.flip(2),
    "with rows and columns swapped": lambda x: x.mT,
    "moved by half the window along rows": lambda x: x.roll(24, 1),
    "moved by half the window along columns": lambda x: x.roll(24, 2),
}


def of_image(image: torch.Tensor, kspace: KSpace) -> KSpace:
    return replace(kspace, data=torch.where(kspace.mask[:, None], fft2c(kspace.maps * image[:, None]), 0))


@pytest.mark.parametrize("cause", TURNED)
def test_another_direction_than_that_of_the_given_images_is_refused(image, kspace, cause):
    given = (0.9 - 0.8 * image).clamp(0, 1).where(image > 0.05, 0.0)  # another contrast
    require_same_head(of_image(image, kspace), [given.numpy()], 4.0, "T1")
    with pytest.raises(InputError, match=f"fits the given images better {cause}.*nat"):
        require_same_head(of_image(TURNED[cause](image).contiguous(), kspace), [given.numpy()], 4.0, "T1")


def test_a_head_beside_that_of_the_given_images_is_refused(image, kspace):
    require_same_head(of_image(image.roll(3, 2), kspace), [image.numpy()], 4.0, "T1")
    with pytest.raises(InputError, match="the head in k-space of T1 lies 24 mm beside that of the given images"):
        require_same_head(of_image(image.roll(6, 2), kspace), [image.numpy()], 4.0, "T1")


def test_kspace_of_a_patient_that_shows_another_direction_is_refused(tmp_path, image, kspace, tiny_prior_of):
    """The k-space is that of the mirrored head, with an affine that does not say so."""
    how = {"field_of_view_mm": 192.0, "brain_fraction": 0.0, "percentile": 99.5}
    prior = tiny_prior_of(size=48, preprocessing=how)
    volume = image.numpy()[:, ::-1, ::-1].transpose(2, 1, 0) * 100
    write_volume(tmp_path / "t1.nii", volume, np.diag([4.0, 4.0, 4.0, 1.0]))
    files = {"T1": tmp_path / "t1.nii", "FLAIR": tmp_path / "y.npz"}
    write_kspace(tmp_path / "y.npz", KSpaceFile(of_image(image, kspace)))
    read_patient("T1 + y(FLAIR)", files, prior)
    write_kspace(tmp_path / "y.npz", KSpaceFile(of_image(image.flip(1).contiguous(), kspace)))
    with pytest.raises(InputError, match=r"y.npz: the image of k-space of T2FLAIR fits .* mirrored"):
        read_patient("T1 + y(FLAIR)", files, prior)
