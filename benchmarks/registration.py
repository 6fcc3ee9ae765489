"""How well `a2a.data.volumes.registration` finds a known movement, and what it does to real scans.

The phantom's volumes are moved by random rigid transforms (up to 8 degrees about a random axis and 10 mm) and sampled
on another grid, tilted and with other voxels; the error is measured where the head is. Real scans have no truth;
mutual information before and after is what can be said, beside the pictures of the store's report::

    python benchmarks/registration.py --open-ms FOLDER --out results/registration.csv

The cross-sectional scans of Open-MS came registered; their information, within the brain, is for comparison.

Needs ANTsPy (the extra ``register``). Columns: ``set``, ``scan``, ``series``, ``angle_deg`` and ``shift_mm`` found,
mutual information with the reference in nats before and after, and for the phantom ``error_before_mm``, ``error_mm``
(mean), ``error_max_mm``, ``voxel_mm`` (the smallest side of the reference's voxel) and ``error_voxels``; ``seconds``
of one core.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from a2a.common.files import write_atomically, write_json
from a2a.common.provenance import machine
from a2a.data.phantom import PhantomConfig
from a2a.data.phantom.volumes import write_volumes
from a2a.data.prepare.prepare import prepare
from a2a.data.volumes.foreground import find_head
from a2a.data.volumes.nifti import Volume, read_volume, write_volume
from a2a.data.volumes.registration import align, antspy_version, resample

REFERENCE = "T1"
LARGEST_DEG, LARGEST_MM = 8.0, 10.0
OTHER_MM, TILT_DEG = (1.2, 1.2, 3.0), 6.0


def random_movement(rng: np.random.Generator, centre: np.ndarray) -> np.ndarray:
    """A rigid matrix ``(4, 4)`` that turns about `centre` (mm) and shifts."""
    axis, shift = rng.standard_normal(3), rng.uniform(-1, 1, 3)
    turn = Rotation.from_rotvec(np.radians(rng.uniform(2, LARGEST_DEG)) * axis / np.linalg.norm(axis))
    matrix = np.eye(4)
    matrix[:3, :3] = turn.as_matrix()
    matrix[:3, 3] = centre - turn.apply(centre) + LARGEST_MM * shift / max(1, np.linalg.norm(shift))
    return matrix


def moved(volume: Volume, movement: np.ndarray) -> Volume:
    """The same head after a movement, sampled on another grid."""
    sides = np.asarray(volume.data.shape) * volume.spacing
    shape = tuple(np.ceil(sides * 1.1 / OTHER_MM).astype(int))
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("x", TILT_DEG, degrees=True).as_matrix() * OTHER_MM
    centre = (volume.affine @ [*(np.asarray(volume.data.shape) - 1) / 2, 1])[:3]
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    grid = Volume(np.zeros(shape, np.float32), affine)
    data, inside = resample(volume, grid, np.linalg.inv(movement))
    return Volume(np.where(inside, data, volume.data.min()), affine, volume.path)


def errors_mm(found: np.ndarray, true: np.ndarray, reference: Volume) -> np.ndarray:
    """Distance in mm between where two matrices put every voxel of the head."""
    voxels = np.argwhere(find_head(reference))[::7]
    points = np.c_[voxels, np.ones(len(voxels))] @ reference.affine.T
    return np.linalg.norm((points @ (found - true).T)[:, :3], axis=1)


def phantom_rows(subjects: int, folder: Path) -> list[dict]:
    """One row per moved series of each subject."""
    rng, rows = np.random.default_rng(2026), []
    for place in write_volumes(PhantomConfig(size=128, dz=2.0), range(subjects), folder / "phantom"):
        reference = read_volume(place / f"{REFERENCE}.nii.gz")
        centre = (reference.affine @ [*(np.asarray(reference.data.shape) - 1) / 2, 1])[:3]
        for series in ("T2FLAIR", "T2star", "CT", "PET"):
            movement = random_movement(rng, centre)
            other = moved(read_volume(place / f"{series}.nii.gz"), movement)
            write_volume(folder / "moved.nii.gz", other.data, other.affine)
            began = time.process_time()
            found = align(reference, read_volume(folder / "moved.nii.gz"))
            error = errors_mm(found.matrix, movement, reference)
            voxel = min(reference.spacing)
            measured = {
                "error_before_mm": errors_mm(np.eye(4), movement, reference).mean(),
                "error_mm": error.mean(),
                "error_max_mm": error.max(),
                "voxel_mm": voxel,
                "error_voxels": error.mean() / voxel,
                "seconds": time.process_time() - began,
            }
            rows.append(_row("phantom-any2all", place.name, series, found.to_dict()) | measured)
            print(f"{place.name} {series}: {measured['error_voxels']:.3f} voxels", flush=True)
    return rows


def registered_rows(root: Path, folder: Path) -> list[dict]:
    """One row per series of the cross-sectional patients, which came registered: nothing may be moved."""
    report = prepare("open-ms", folder / "open-ms", root, size=128, overwrite=True)
    records = json.loads((report.path / "manifest.json").read_text())["subjects"]
    return [
        {"set": "open-ms", "scan": scan, "series": series, "mutual_information_before": figures["information"]}
        for scan, record in records.items()
        for series, figures in record["quality"].items()
        if series != REFERENCE and not record["transforms"]
    ]


def open_ms_rows(root: Path, folder: Path) -> list[dict]:
    """One row per registered series of the raw longitudinal scans."""
    report = prepare("open-ms-longitudinal", folder / "open-ms-longitudinal", root, size=128, overwrite=True)
    records = json.loads((report.path / "manifest.json").read_text())["subjects"]
    print(f"{report.path / 'report.html'}: look at the pictures")
    return [
        _row("open-ms-longitudinal", scan, series, found)
        for scan, record in records.items()
        for series, found in record["transforms"].items()
    ]


def _row(what: str, scan: str, series: str, found: dict) -> dict:
    return {"set": what, "scan": scan, "series": series} | {k: v for k, v in found.items() if k != "matrix"}


def main() -> None:
    """Measure and write the table, and beside it what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open-ms", type=Path, help="folder around the Open-MS scans, raw and cross-sectional")
    parser.add_argument("--subjects", type=int, default=3, help="of the phantom")
    parser.add_argument("--stores", type=Path, help="where to keep the store of real scans and its report")
    parser.add_argument("--out", type=Path, default=Path("results/registration.csv"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = phantom_rows(options.subjects, Path(temporary))
        if options.open_ms:
            stores = options.stores or Path(temporary)
            rows += open_ms_rows(options.open_ms, stores) + registered_rows(options.open_ms, stores)
    table = pd.DataFrame(rows)
    write_atomically(options.out, lambda path: table.to_csv(path, index=False, float_format="%.4f"))
    write_json(options.out.with_suffix(".json"), {"antspyx": antspy_version(), "machine": machine()})
    print(table.groupby("set").mean(numeric_only=True).round(3).to_string())


if __name__ == "__main__":
    main()
