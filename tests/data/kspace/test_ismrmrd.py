"""ISMRMRD files, written line by line with its package: the simulator's k-space comes back upright."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.data.kspace.file import read_kspace

ismrmrd = pytest.importorskip("ismrmrd", reason="the extra [kspace] is not installed")
LEFT, POSTERIOR, UP = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture
def write(tmp_path, scanner_data, header) -> Callable[..., Path]:
    """Write acquisitions of every sampled line; `change` sees each (acquisition, slice, line) before it is written."""

    def make(
        kspace,
        readout: int = 96,
        change: Callable = lambda acquisition, number, line: acquisition,
        noise: np.ndarray | None = None,
        averages: int = 1,
        xml: bytes | None = None,
    ) -> Path:
        path = tmp_path / "scan.h5"
        path.unlink(missing_ok=True)
        dataset = ismrmrd.Dataset(str(path), "dataset")
        dataset.write_xml_header(xml or header(readout))
        if noise is not None:
            scan = ismrmrd.Acquisition.from_array(noise)
            scan.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            dataset.append_acquisition(scan)
        data = scanner_data(kspace, readout)
        order = [(n, line) for n in (1, 0) for line in np.flatnonzero(kspace.mask.numpy()) for _ in range(averages)]
        for number, line in order:  # the upper slice first, and numbered 0
            acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data[number, :, :, line]))
            acquisition.idx.slice, acquisition.idx.kspace_encode_step_1 = 1 - number, line
            acquisition.center_sample = readout // 2
            acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = LEFT, POSTERIOR, UP
            acquisition.position[:] = (3.0, -2.0, 5.0 * number)
            if (acquisition := change(acquisition, number, line)) is not None:
                dataset.append_acquisition(acquisition)
        dataset.close()
        return path

    return make


@pytest.fixture
def maps(kspace, tmp_path) -> Path:
    np.save(tmp_path / "maps.npy", kspace.maps.numpy())
    return tmp_path / "maps.npy"


@pytest.mark.parametrize(("readout", "averages"), [(48, 1), (96, 1), (96, 3)])
def test_the_simulators_kspace_comes_back(write, kspace, grid, maps, readout, averages):
    content = read_kspace(write(kspace, readout, averages=averages), "T1", grid, maps)
    assert torch.equal(content.kspace.mask, kspace.mask)
    torch.testing.assert_close(content.kspace.data * content.scale.high, kspace.data, atol=2e-5, rtol=1e-5)


def test_directions_turn_the_image_upright(write, kspace, grid, maps):
    def other_way(acquisition, number, line):
        acquisition.data[:] = np.roll(acquisition.data[:, ::-1], 1, axis=1)
        acquisition.read_dir[0] = -1
        acquisition.slice_dir[:] = (0, 0, -1)
        return acquisition

    content = read_kspace(write(kspace, 48, change=other_way), "T1", grid, maps)
    torch.testing.assert_close(content.kspace.data * content.scale.high, kspace.data, atol=2e-5, rtol=1e-5)


def test_noise_scans_give_the_noise_level_for_bandwidth_and_averages(write, kspace, grid, maps):
    noise = torch.randn(2, 6, 4096, generator=generator(3))

    def timed(acquisition, number, line):
        acquisition.sample_time_us = 4.0
        return acquisition

    white = (0.03 * torch.complex(noise[0], noise[1])).numpy()
    content = read_kspace(write(kspace, noise=white), "T1", grid, maps)
    assert content.kspace.noise_std * content.scale.high == pytest.approx(0.03, rel=0.02)
    content = read_kspace(write(kspace, noise=white, averages=4), "T1", grid, maps)
    assert content.kspace.noise_std * content.scale.high == pytest.approx(0.015, rel=0.02)


def test_maps_are_estimated_and_navigators_left_out(write, kspace, grid):
    def with_navigator(acquisition, number, line):
        if line == 0:
            acquisition.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
        return acquisition

    content = read_kspace(write(kspace, change=with_navigator), "T1", grid)
    assert content.kspace.maps.shape == (2, 6, 48, 48)
    assert int(content.kspace.mask.sum()) == int(kspace.mask.sum()) - int(kspace.mask[0])


def changed(**values: object) -> Callable:
    def change(acquisition, number, line):
        for name, value in values.items():
            target = acquisition.idx if hasattr(acquisition.idx, name) else acquisition
            setattr(target, name, value)
        return acquisition

    return change


def reverse(acquisition, number, line):
    acquisition.set_flag(ismrmrd.ACQ_IS_REVERSE)
    return acquisition


def not_a_number(acquisition, number, line):
    acquisition.data[:] = np.nan
    return acquisition


def fewer_coils(acquisition, number, line):
    if line < 20:
        return acquisition
    fewer = ismrmrd.Acquisition.from_array(np.ascontiguousarray(acquisition.data[:3]))
    fewer.idx.slice, fewer.idx.kspace_encode_step_1 = 1 - number, line
    fewer.center_sample = 48
    return fewer


BAD = {
    "echo": (changed(center_sample=20), "96 samples with the echo at 20; needed are 96 with the echo at 48"),
    "step": (changed(kspace_encode_step_1=60), "phase-encode step 60 lies outside its 48 lines"),
    "3-D": (changed(kspace_encode_step_2=1), "more than one kspace_encode_step_2"),
    "contrasts": (changed(contrast=1), "more than one contrast"),
    "echo-planar": (reverse, "reversed readouts"),
    "NaN": (not_a_number, "NaN or infinite"),
    "coils": (fewer_coils, "its acquisitions have 6 and 3 coils"),
    "a slice lacks a line": (lambda a, n, line: a if n or line != 24 else None, "sampled at different lines"),
    "no lines": (lambda a, n, line: None, "damaged ISMRMRD file|no image acquisitions|it holds dataset"),
}


@pytest.mark.parametrize("fault", BAD)
def test_other_scans_are_refused(write, kspace, grid, maps, fault):
    change, message = BAD[fault]
    path = write(kspace, change=change)
    with pytest.raises(InputError, match=message) as refused:
        read_kspace(path, "T1", grid, maps)
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_radial_scans_other_maps_and_contradicting_axes_are_refused(write, kspace, grid, maps, header, tmp_path):
    with pytest.raises(InputError, match="its trajectory is radial"):
        read_kspace(write(kspace, xml=header(96, trajectory="radial")), "T1", grid, maps)
    with pytest.raises(InputError, match="its axes run towards LPS, as it says itself, and not PLS"):
        read_kspace(write(kspace), "T1", grid, maps, axes="PLS")
    np.save(tmp_path / "few.npy", kspace.maps[:4].numpy())
    with pytest.raises(InputError, match=r"expected complex \(B, 4, 48, 48\) to fit its maps"):
        read_kspace(write(kspace), "T1", grid, tmp_path / "few.npy")


def test_a_truncated_file_is_refused(write, kspace, grid, maps):
    path = write(kspace)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(InputError, match="scan.h5: damaged or no HDF5 file"):
        read_kspace(path, "T1", grid, maps)


def test_without_the_package_its_name_is_said(write, kspace, grid, maps, monkeypatch):
    path = write(kspace)
    monkeypatch.setitem(sys.modules, "ismrmrd", None)
    with pytest.raises(InputError, match="scan.h5: reading it needs the package ismrmrd, which is not installed"):
        read_kspace(path, "T1", grid, maps)
