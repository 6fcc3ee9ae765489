"""k-space as scanners' converters write it: acquisitions of ISMRMRD, read by the package ``ismrmrd``.

Each acquisition is one readout of all coils. Those of a Cartesian two-dimensional multi-slice scan are put in place by
their step, slices are ordered by their position, repeated lines are averaged, noise scans give the noise level, and
the directions of readout, phase encoding and slices (patient coordinates, L P S positive) say how the patient lay.
What would need more than that (three-dimensional or echo-planar encoding, several contrasts, asymmetric echoes) is
refused. Explained in the chapter "Your own NIfTI files".

References
----------
Inati et al., ISMRM raw data format, Magn. Reson. Med. 77 (2017).
"""

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from a2a.common.documents import size
from a2a.common.errors import InputError
from a2a.common.progress import progress
from a2a.data.kspace.arrays import LARGEST
from a2a.data.kspace.grid import ScannerKSpace
from a2a.data.kspace.hdf5 import ISMRMRD, Encoding, needs

SKIPPED = (
    "ACQ_IS_NAVIGATION_DATA",
    "ACQ_IS_PHASECORR_DATA",
    "ACQ_IS_HPFEEDBACK_DATA",
    "ACQ_IS_DUMMYSCAN_DATA",
    "ACQ_IS_RTFEEDBACK_DATA",
    "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA",
    "ACQ_IS_PHASE_STABILIZATION_REFERENCE",
    "ACQ_IS_PHASE_STABILIZATION",
)
SINGLE = ("kspace_encode_step_2", "contrast", "phase", "repetition", "set")
_TOWARDS = (("L", "R"), ("P", "A"), ("S", "I"))


@dataclass
class _Scan:
    """What has been read so far."""

    encoding: Encoding
    sums: dict[int, np.ndarray] = field(default_factory=dict)  # by slice, (coils, X, Y)
    counts: dict[int, np.ndarray] = field(default_factory=dict)  # by slice, (Y,)
    places: dict[int, float] = field(default_factory=dict)  # by slice, position along the slice direction
    noises: list[tuple[float, float]] = field(default_factory=list)  # variance of each part, sample time
    directions: np.ndarray | None = None
    sample_time: float = 0.0


def read_ismrmrd(path: Path) -> ScannerKSpace:
    """Read a two-dimensional Cartesian multi-slice scan.

    Raises
    ------
    InputError
        If the package is not installed, or the scan is of another kind or incomplete.
    """
    ismrmrd = needs("ismrmrd")
    try:
        dataset = ismrmrd.Dataset(str(path), ISMRMRD, mode="r")
    except LookupError as error:
        raise InputError(f"no ISMRMRD file ({error}).") from error
    try:
        scan = _Scan(Encoding.parse(dataset.read_xml_header()))
        if scan.encoding.trajectory != "cartesian":
            raise InputError(f"its trajectory is {scan.encoding.trajectory}; only cartesian k-space can be read.")
        for number in progress(range(dataset.number_of_acquisitions()), f"reading {path.name}"):
            _add(ismrmrd, scan, dataset.read_acquisition(number))
    except (LookupError, ValueError) as error:
        raise error if isinstance(error, InputError) else InputError(f"damaged ISMRMRD file ({error}).") from error
    finally:
        dataset.close()
    return _assembled(scan)


def _add(ismrmrd: ModuleType, scan: _Scan, acquisition: object) -> None:
    """Put one acquisition in its place."""
    data = acquisition.data
    if acquisition.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
        scan.noises.append((float(np.mean(np.abs(data) ** 2)) / 2, float(acquisition.sample_time_us)))
        return
    if any(acquisition.is_flag_set(getattr(ismrmrd, flag)) for flag in SKIPPED if hasattr(ismrmrd, flag)):
        return
    several = [name for name in SINGLE if getattr(acquisition.idx, name)]
    if several or acquisition.is_flag_set(ismrmrd.ACQ_IS_REVERSE):
        what = f"more than one {several[0]}" if several else "reversed readouts (echo-planar)"
        raise InputError(f"it has {what}; only one two-dimensional multi-slice scan can be read.")
    readout, lines = scan.encoding.matrix[:2]
    if data.shape[1] != readout or acquisition.center_sample != readout // 2:
        found = f"{data.shape[1]} samples with the echo at {acquisition.center_sample}"
        raise InputError(f"a readout has {found}; needed are {readout} with the echo at {readout // 2}.")
    line = acquisition.idx.kspace_encode_step_1 - scan.encoding.centre + lines // 2
    if not 0 <= line < lines:
        raise InputError(f"phase-encode step {acquisition.idx.kspace_encode_step_1} lies outside its {lines} lines.")
    number = acquisition.idx.slice
    if number not in scan.sums and (len(scan.sums) + 1) * len(data) * readout * lines * 8 > LARGEST:
        raise InputError(f"its slices take more than {size(LARGEST)}; leave some out.")
    total = scan.sums.setdefault(number, np.zeros((len(data), readout, lines), dtype=np.complex64))
    if len(total) != len(data):
        raise InputError(f"its acquisitions have {len(total)} and {len(data)} coils.")
    total[:, :, line] += data
    scan.counts.setdefault(number, np.zeros(lines, dtype=int))[line] += 1
    scan.directions = np.array([acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir], dtype=float)
    scan.places[number] = float(np.dot(np.array(acquisition.position, dtype=float), scan.directions[2]))
    scan.sample_time = float(acquisition.sample_time_us)


def _assembled(scan: _Scan) -> ScannerKSpace:
    """Average, order and describe what was read."""
    if not scan.sums:
        raise InputError("it holds no image acquisitions.")
    order = sorted(scan.sums, key=lambda number: (scan.places[number], number))
    counts = np.stack([scan.counts[number] for number in order])
    lines = counts[0] > 0
    if not ((counts > 0) == lines).all():
        raise InputError("its slices were sampled at different lines, or some lines are lacking.")
    if len({len(data) for data in scan.sums.values()}) > 1:
        raise InputError("its slices have different numbers of coils.")
    data = np.stack([scan.sums[number] for number in order]) / np.maximum(counts, 1)[:, None, None].astype(np.float32)
    repeats = float(np.mean(1 / counts[:, lines]))
    return ScannerKSpace(data, lines, scan.encoding.field_of_view_mm[:2], _axes(scan.directions), _noise(scan, repeats))


def _axes(directions: np.ndarray) -> str | None:
    """Letters of the nearest patient axes that readout, phase encoding and slices run to; None if not set."""
    if not np.abs(directions).sum(axis=1).all():
        return None
    nearest = np.abs(directions).argmax(axis=1)
    return "".join(_TOWARDS[axis][int(row[axis] < 0)] for row, axis in zip(directions, nearest, strict=True))


def _noise(scan: _Scan, repeats: float) -> float | None:
    """Noise level from noise scans, for the bandwidth and the averages of the images; None without noise scans."""
    if not scan.noises:
        return None
    variance, times = np.mean(scan.noises, axis=0)
    bandwidth = times / scan.sample_time if times > 0 and scan.sample_time > 0 else 1.0
    return float(np.sqrt(variance * bandwidth * repeats))
