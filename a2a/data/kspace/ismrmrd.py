"""k-space as scanners' converters write it: acquisitions of ISMRMRD, read by the package ``ismrmrd``.

Each acquisition is one readout of all coils. Those of a Cartesian two-dimensional multi-slice scan are put in place by
their step, repeated lines are averaged, noise scans give the noise level, and position and directions of readout,
phase encoding and slices (patient coordinates, L P S positive) say where and how the patient lay. Calibration lines
that the header calls separate are no part of the image, and discarded samples are none of the readout. What would need
more than that (three-dimensional or echo-planar encoding, several contrasts, asymmetric echoes, slices that are not
parallel) is refused. Explained in the chapter "Your own NIfTI files".

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
from a2a.data.kspace.check import believable_noise
from a2a.data.kspace.frame import nearest_axes
from a2a.data.kspace.grid import ScannerKSpace
from a2a.data.kspace.header import Encoding, needs

ISMRMRD = "dataset"
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
WITH_THE_IMAGE = ("embedded", "interleaved")  # calibration lines that are image data
_RAS = np.array([-1.0, -1.0, 1.0])  # from L P S
_TURN = np.radians(0.1)
_MOVE_MM = 0.1


@dataclass
class _Scan:
    """What has been read so far."""

    encoding: Encoding
    sums: dict[int, np.ndarray] = field(default_factory=dict)  # by slice, (coils, X, Y)
    counts: dict[int, np.ndarray] = field(default_factory=dict)  # by slice, (Y,)
    centres: dict[int, np.ndarray] = field(default_factory=dict)  # by slice, RAS mm
    noises: list[tuple[float, float]] = field(default_factory=list)  # variance of each part, sample time
    directions: np.ndarray | None = None  # of readout, phase encoding and slices, RAS
    samples: np.ndarray | None = None  # of a readout, those that no acquisition discards
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
    return believable_noise(_assembled(scan), path.name)


def _add(ismrmrd: ModuleType, scan: _Scan, acquisition: object) -> None:
    """Put one acquisition in its place."""
    data = acquisition.data
    if acquisition.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
        scan.noises.append((float(np.mean(np.abs(data) ** 2)) / 2, float(acquisition.sample_time_us)))
        return
    if any(acquisition.is_flag_set(getattr(ismrmrd, flag)) for flag in SKIPPED if hasattr(ismrmrd, flag)):
        return
    calibration = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
    alone = acquisition.is_flag_set(calibration[0]) and not acquisition.is_flag_set(calibration[1])
    if alone and scan.encoding.calibration not in WITH_THE_IMAGE:
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
    kept = slice(acquisition.discard_pre, readout - acquisition.discard_post)
    if scan.samples is None:
        scan.samples = np.ones(readout, dtype=bool)
    scan.samples[: kept.start] = scan.samples[kept.stop :] = False
    total[:, kept, line] += data[:, kept]
    scan.counts.setdefault(number, np.zeros(lines, dtype=int))[line] += 1
    scan.sample_time = float(acquisition.sample_time_us)
    _locate(scan, number, acquisition)


def _locate(scan: _Scan, number: int, acquisition: object) -> None:
    """Note where an acquisition lies, which has to be where the others of its scan and its slice lie."""
    directions = np.array([acquisition.read_dir, acquisition.phase_dir, acquisition.slice_dir], dtype=float) * _RAS
    centre = np.array(acquisition.position, dtype=float) * _RAS
    if scan.directions is None:
        scan.directions = directions
    if np.abs(directions - scan.directions).max() > _TURN:
        raise InputError(
            f"its slices are not parallel: slice {number} is encoded along other directions than the first; needed is "
            "one stack of slices."
        )
    if np.abs(centre - scan.centres.setdefault(number, centre)).max() > _MOVE_MM:
        raise InputError(f"its header gives slice {number} more than one position.")


def _assembled(scan: _Scan) -> ScannerKSpace:
    """Average, order and describe what was read."""
    if not scan.sums:
        raise InputError("it holds no image acquisitions.")
    if not scan.samples.any():
        raise InputError("its header discards every sample of the readouts.")
    directions = _stated(scan.directions)
    along = {number: float(centre @ scan.directions[2]) for number, centre in scan.centres.items()}
    order = sorted(scan.sums, key=lambda number: (round(along[number], 3), number))
    counts = np.stack([scan.counts[number] for number in order])
    lines = counts[0] > 0
    if not ((counts > 0) == lines).all():
        raise InputError("its slices were sampled at different lines, or some lines are lacking.")
    if len({len(data) for data in scan.sums.values()}) > 1:
        raise InputError("its slices have different numbers of coils.")
    data = np.stack([scan.sums[number] for number in order]) / np.maximum(counts, 1)[:, None, None].astype(np.float32)
    data[:, :, ~scan.samples] = 0
    centres = np.stack([scan.centres[number] for number in order])
    apart = len(order) == 1 or np.ptp(centres, axis=0).max() > _MOVE_MM
    found = ScannerKSpace(
        data,
        lines,
        scan.encoding.field_of_view_mm[:2],
        None if directions is None else nearest_axes(directions),
        _noise(scan, float(np.mean(1 / counts[:, lines]))),
        directions=directions,
        centres=centres if directions is not None and apart else None,
        samples=scan.samples,
    )
    return found


def _stated(directions: np.ndarray) -> np.ndarray | None:
    """The directions, if they are set; None if they are not.

    Raises
    ------
    InputError
        If they are no three directions at right angles.
    """
    if not np.abs(directions).sum(axis=1).all():
        return None
    if not np.abs(directions @ directions.T - np.eye(3)).max() < 1e-2:
        raise InputError("its directions of readout, phase encoding and slices are not three at right angles.")
    return directions


def _noise(scan: _Scan, repeats: float) -> float | None:
    """Noise level from noise scans, for the bandwidth and the averages of the images; None without noise scans."""
    if not scan.noises:
        return None
    variance, times = np.mean(scan.noises, axis=0)
    bandwidth = times / scan.sample_time if times > 0 and scan.sample_time > 0 else 1.0
    return float(np.sqrt(variance * bandwidth * repeats))
