"""A head with smooth structures, its simulated k-space, and files that a scanner could have written of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.data.kspace.frame import Grid
from a2a.data.kspace.grid import centred, transform
from a2a.forward.measured import KSpace
from a2a.forward.undersampling import Undersampling
from a2a.patient.read import simulate_kspace

SIZE, FIELD = 48, 192.0
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<experimentalConditions><H1resonanceFrequency_Hz>123250000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{y}</x><y>{y}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fy}</x><y>{fy}</y><z>5</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{centre}</center>
</kspace_encoding_step_1></encodingLimits><trajectory>{trajectory}</trajectory></encoding></ismrmrdHeader>"""


@pytest.fixture
def header() -> Callable[..., bytes]:
    """Make the XML of an acquisition of 48 lines with readouts of some samples."""

    def make(readout: int = SIZE, lines: int = SIZE, **changes: object) -> bytes:
        values = {"x": readout, "y": lines, "fx": FIELD * readout / SIZE, "fy": FIELD, "last": lines - 1}
        values |= {"centre": lines // 2, "trajectory": "cartesian"}
        return HEADER.format(**values | changes).encode()

    return make


@pytest.fixture
def grid() -> Grid:
    """Any number of slices, 48 pixels of 4 mm."""
    return Grid(None, SIZE, FIELD)


@pytest.fixture
def image() -> torch.Tensor:
    """Two slices of a head, ``(2, 48, 48)`` in [0, 1]: no axis is a mirror."""
    y, x = np.mgrid[:SIZE, :SIZE] / (SIZE / 2) - 1
    slices = []
    for shift in (0.0, 0.1):
        head = 0.45 / (1 + np.exp(40 * ((x / 0.7) ** 2 + (y / 0.85) ** 2 - 1)))
        for cx, cy, r, level in ((0.25, -0.3, 0.2, 0.5), (-0.3, 0.2 + shift, 0.15, -0.3), (0.1, 0.5, 0.1, 0.3)):
            head += level / (1 + np.exp(30 * (np.hypot(x - cx, y - cy) / r - 1)))
        slices.append(head)
    return torch.from_numpy(np.stack(slices).clip(0, 1).astype(np.float32))


@pytest.fixture
def kspace(image: torch.Tensor) -> KSpace:
    """Half of the k-space of the head with 16 central lines, 6 coils, little noise."""
    return simulate_kspace(image, Undersampling(acceleration=2, acs=16, coils=6, noise_std=0.002))


@pytest.fixture
def scanner_data() -> Callable[[KSpace, int], np.ndarray]:
    """k-space ``(slices, coils, readout, phase encoding)`` with so many samples along the readout as asked for."""

    def make(kspace: KSpace, readout: int) -> np.ndarray:
        data = kspace.data.numpy().swapaxes(2, 3)
        if readout == SIZE:
            return data
        return transform(centred(transform(data, 2, inverse=True), readout, 2), 2)

    return make


@pytest.fixture
def write_fastmri(tmp_path: Path, scanner_data: Callable, header: Callable) -> Callable[..., Path]:
    """Write a fastMRI file; `changes` replaces fields, None leaves them out."""
    h5py = pytest.importorskip("h5py", reason="the extra [kspace] is not installed")

    def write(kspace: KSpace, /, readout: int = 2 * SIZE, name: str = "y.h5", **changes: object) -> Path:
        data = scanner_data(kspace, readout)
        fields = {"kspace": data, "mask": kspace.mask.numpy(), "ismrmrd_header": header(readout)} | changes
        with h5py.File(tmp_path / name, "w") as file:
            for field, value in fields.items():
                if value is not None:
                    file[field] = value
        return tmp_path / name

    return write
