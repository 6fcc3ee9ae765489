"""How fast the phantom generates, one core, every preset.

Times whole subjects (58 planes of 128 x 128 two millimetres apart, and 29 planes of 64 x 64 as in the profile ci) in
seconds of one core, which other work on the machine hardly lowers, and the preparation of a whole ci store::

    OMP_NUM_THREADS=1 python benchmarks/phantom_speed.py --out results/phantom-speed.csv

Columns: ``preset``, ``what`` (subject or the store of profile ci with its pictures), ``size``, ``planes`` of a subject,
``modalities``, ``cpu_s`` per subject (the fastest; of a store all), ``slices_per_cpu_s`` (a slice is the stack of all
modalities), ``wall_s``, ``peak_mb`` (of the process so far).
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from a2a.common.files import write_atomically
from a2a.common.provenance import machine
from a2a.data.phantom import PhantomConfig, generate_subject
from a2a.data.phantom.config import PRESETS
from a2a.data.prepare.prepare import prepare

GRIDS = ((64, 4.0), (128, 2.0))
WANTED = 20.0  # slices of 128 x 128 and five modalities per second and core


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor and of wall that a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0)


def subjects(preset: str, count: int) -> list[dict]:
    """Time the generation of subjects on every grid."""
    rows = []
    for size, dz in GRIDS:
        config = PhantomConfig(preset=preset, size=size, dz=dz)
        times = [timed(lambda i=i, c=config: generate_subject(c, i)) for i in range(count)]
        cpu, planes = min(times)[0], len(config.grid.planes)
        row = {"preset": preset, "what": "subject", "size": size, "planes": planes, "modalities": len(config.names)}
        speed = {"cpu_s": round(cpu, 2), "slices_per_cpu_s": round(planes / cpu, 1)}
        rows.append(row | speed | {"wall_s": round(min(wall for _, wall in times), 2), "peak_mb": peak_mb()})
    return rows


def store(preset: str) -> dict:
    """Time the preparation of the profile ci, 36 subjects with 12 slices each, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = timed(lambda: prepare(f"phantom-{preset}", Path(folder) / "store", profile="ci"))
    row = {"preset": preset, "what": "store", "size": 64, "planes": 29, "modalities": len(PRESETS[preset].modalities)}
    speed = {"cpu_s": round(cpu, 1), "slices_per_cpu_s": round(36 * 29 / cpu, 1)}
    return row | speed | {"wall_s": round(wall, 1), "peak_mb": peak_mb()}


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=5, help="of each preset and grid; the fastest counts")
    parser.add_argument("--out", type=Path, help="CSV file")
    options = parser.parse_args()
    rows = [row for preset in PRESETS for row in subjects(preset, options.subjects)]
    table = pd.DataFrame(rows + [store(preset) for preset in PRESETS])
    table = table.assign(device=machine()["device"])
    print(table.to_string(index=False))
    wanted = table[(table["preset"] == "any2all") & (table["size"] == 128)]["slices_per_cpu_s"].item()
    print(f"any2all, 128 x 128: {wanted} slices per second and core; wanted are {WANTED:g}.")
    if options.out:
        write_atomically(options.out, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
