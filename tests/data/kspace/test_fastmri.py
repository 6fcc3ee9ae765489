"""fastMRI files: the simulator's k-space comes back, and damaged or incomplete files are refused."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.data.kspace.file import read_kspace
from a2a.data.kspace.frame import Grid
from a2a.evaluation.metrics import psnr
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec

h5py = pytest.importorskip("h5py", reason="the extra [kspace] is not installed")
RANGE = {"range": np.array([0.0, 250.0])}
AXES = "LPS"


def reconstructed(kspace) -> torch.Tensor:
    operator, data = kspace.measurement("T1")
    b = operator.adjoint(data)
    return operator.prox(torch.zeros_like(b), b, 1e-3)


@pytest.mark.parametrize("readout", [48, 96, 80])
def test_the_simulators_kspace_and_reconstruction_come_back(write_fastmri, kspace, grid, readout):
    path = write_fastmri(kspace, readout, maps=kspace.maps.numpy(), noise_std=kspace.noise_std, **RANGE)
    content = read_kspace(path, "T1", grid, axes=AXES)
    assert torch.equal(content.kspace.mask, kspace.mask) and torch.equal(content.kspace.maps, kspace.maps)
    assert content.kspace.noise_std == kspace.noise_std and content.scale.high == 250.0
    exact = 0.0 if readout == 48 else 2e-5
    torch.testing.assert_close(content.kspace.data, kspace.data, atol=exact, rtol=0)
    torch.testing.assert_close(reconstructed(content.kspace), reconstructed(kspace), atol=10 * exact, rtol=0)


def test_a_scanners_units_become_image_units_and_are_remembered(write_fastmri, kspace, grid, image):
    loud = replace(kspace, data=3000 * kspace.data)
    content = read_kspace(write_fastmri(loud, maps=kspace.maps.numpy()), "T1", grid, axes=AXES)
    scale = content.scale.high / 3000
    assert content.scale.low == 0 and scale == pytest.approx(float(np.percentile(image, 99.5)), rel=0.05)
    torch.testing.assert_close(content.kspace.data * scale, kspace.data, atol=1e-4, rtol=1e-4)
    assert 1 <= content.kspace.noise_std * scale / kspace.noise_std < 3  # edges of the head reach the rim of k-space


def test_a_median_is_that_of_what_stands_out_from_air(write_fastmri, kspace, grid, image):
    head = image[image > 0.05].numpy()
    scaled = replace(grid, percentile=50.0, becomes=0.4)
    path = write_fastmri(replace(kspace, data=3000 * kspace.data), maps=kspace.maps.numpy())
    content = read_kspace(path, "T1", scaled, axes=AXES)
    assert content.scale.high / 3000 == pytest.approx(float(np.median(head)) / 0.4, rel=0.1)


def test_without_maps_they_are_estimated(write_fastmri, kspace, grid, image):
    content = read_kspace(write_fastmri(kspace), "T1", grid, axes=AXES)
    assert content.kspace.maps.shape == (2, 6, 48, 48)
    assert float(psnr(image, (reconstructed(content.kspace) * content.scale.high).clamp(0, 1)).mean()) > 32
    observed = Observation.build(StackSpec.of("T1", "T2"), {}, {"T1": content.kspace})
    assert observed.kinds == ("measured", "missing") and observed[1:].adjoint.shape == (1, 2, 48, 48)


def test_maps_may_come_from_a_file(write_fastmri, kspace, grid, tmp_path):
    np.save(tmp_path / "maps.npy", kspace.maps.numpy())
    content = read_kspace(write_fastmri(kspace, **RANGE), "T1", grid, tmp_path / "maps.npy", AXES)
    assert torch.equal(content.kspace.maps, kspace.maps)
    with pytest.raises(InputError, match=r"^\S*gone.npy: no such file"):
        read_kspace(write_fastmri(kspace), "T1", grid, tmp_path / "gone.npy", AXES)


def test_phase_encoding_from_left_to_right_is_a_mask_along_the_columns(write_fastmri, kspace, grid, image, header):
    upright = {"kspace": kspace.data.numpy(), "ismrmrd_header": header(48), "maps": kspace.maps.numpy()}
    sideways = np.where(kspace.mask.numpy(), upright["kspace"], 0)  # other lines, but lines
    path = write_fastmri(kspace, 48, **upright | {"kspace": sideways}, noise_std=0.002, **RANGE)
    content = read_kspace(path, "T1", grid, axes="PLS")
    assert content.kspace.mask.shape == (48, 48) and bool((content.kspace.mask == kspace.mask).all())


BAD = {
    "no header": (48, {"ismrmrd_header": None}, "it lacks ismrmrd_header; a fastMRI file has kspace, ismrmrd_header"),
    "other matrix": (48, {"kspace": np.zeros((2, 6, 40, 48), np.complex64)}, r"kspace is \(40, 48\), but its header"),
    "one coil image": (48, {"kspace": np.zeros((2, 48, 48), np.complex64)}, r"is complex64 \(2, 48, 48\); needed"),
    "real": (48, {"kspace": np.zeros((2, 6, 48, 48), np.float32)}, "k-space is float32"),
    "NaN": (48, {"kspace": np.full((2, 6, 48, 48), np.nan, np.complex64)}, "NaN or infinite"),
    "zeros": (48, {"kspace": np.zeros((2, 6, 48, 48), np.complex64), "noise_std": 0.1}, "nothing but zeros"),
    "mask length": (48, {"mask": np.ones(30, bool)}, r"mask has shape \(30,\); needed is \(48,\)"),
    "mask of two axes": (48, {"mask": np.ones((48, 48), bool)}, r"mask has shape \(48, 48\); needed"),
    "mask values": (48, {"mask": np.full(48, 0.5)}, "mask must hold only 0 and 1"),
    "coils of the maps": (48, {"maps": np.ones((4, 48, 48), np.complex64)}, r"complex \(B, 4, 48, 48\) to fit"),
    "noise": (48, {"noise_std": np.array([1.0, 2.0])}, "noise_std must be one real number"),
    "range": (48, {"range": np.array([1.0])}, "range must be two numbers"),
    "header": (48, {"ismrmrd_header": b"<xml"}, "its ISMRMRD header is no XML"),
    "other XML": (48, {"ismrmrd_header": b"<a/>"}, "describes 0 encodings"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_fields_are_refused(write_fastmri, kspace, grid, fault):
    readout, changes, message = BAD[fault]
    path = write_fastmri(kspace, readout, **{"maps": kspace.maps.numpy()} | changes)
    with pytest.raises(InputError, match=message) as refused:
        read_kspace(path, "T1", grid, axes=AXES)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_radial_kspace_is_refused(write_fastmri, kspace, grid, header):
    path = write_fastmri(kspace, 48, ismrmrd_header=header(48, trajectory="radial"))
    with pytest.raises(InputError, match="its trajectory is radial"):
        read_kspace(path, "T1", grid, axes=AXES)


def test_how_the_patient_lay_must_be_said(write_fastmri, kspace, grid):
    with pytest.raises(InputError, match="y.h5: it does not say how the patient lies in it"):
        read_kspace(write_fastmri(kspace), "T1", grid)


def test_another_number_of_slices_is_refused(write_fastmri, kspace):
    with pytest.raises(InputError, match="it has 2 slices; needed are 7"):
        read_kspace(write_fastmri(kspace), "T1", Grid(7, 48, 192.0), axes=AXES)


def test_damaged_and_foreign_files_are_refused(write_fastmri, kspace, grid, tmp_path):
    path = write_fastmri(kspace)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:200], b"", b"no HDF5 at all"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"y.h5: damaged or no HDF5 file \("):
            read_kspace(path, "T1", grid, axes=AXES)
    with h5py.File(path, "w") as file:
        file["reconstruction_rss"] = np.zeros(3)
    with pytest.raises(InputError, match="it holds reconstruction_rss; k-space is read from HDF5 of fastMRI"):
        read_kspace(path, "T1", grid)
    with pytest.raises(InputError, match="y.dat: k-space of T1 is a file ending in .npz, .h5, .hdf5, .mrd"):
        read_kspace(tmp_path / "y.dat", "T1", grid)
    with pytest.raises(InputError, match="gone.h5: no such file"):
        read_kspace(tmp_path / "gone.h5", "T1", grid)


def test_links_to_other_files_are_refused(write_fastmri, kspace, grid, tmp_path):
    write_fastmri(kspace, name="other.h5")
    path = write_fastmri(kspace, kspace=None)
    with h5py.File(path, "a") as file:
        file["kspace"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "kspace")
    with pytest.raises(InputError, match="kspace is a link to another file"):
        read_kspace(path, "T1", grid, axes=AXES)
    with h5py.File(path, "a") as file:
        del file["kspace"]
        layout = h5py.VirtualLayout((2, 6, 96, 48), np.complex64)
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "kspace", (2, 6, 96, 48))
        file.create_virtual_dataset("kspace", layout)
    with pytest.raises(InputError, match="kspace lies in another file"):
        read_kspace(path, "T1", grid, axes=AXES)


def test_without_the_package_its_name_is_said(write_fastmri, kspace, grid, monkeypatch):
    path = write_fastmri(kspace)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="y.h5: reading it needs the package h5py, which is not installed: pip"):
        read_kspace(path, "T1", grid, axes=AXES)
