r"""A whole head at 1 mm: how long ``a2a complete`` takes, in how much memory, and what correlated noise does to it.

Both complete the FLAIR of a head from T1, T1 with contrast agent and T2, by MDS with 10 evaluations::

    python benchmarks/volumes.py --store runs/data/open-heads --folder FOLDER/patient26 --out results/volumes.csv

The part ``time`` runs the command with its defaults for a laptop (``--quality fast``) on the files of a folder, once
for each engine, and looks at the memory of all its processes; it wants an idle machine. The part ``noise`` completes
neighbouring slices in the middle of the head with noise of several correlations rho. Columns: ``part``, ``engine``,
``slices``, ``minutes``, ``peak_gib``; ``rho``, ``jump`` (of the brain's mean between neighbouring slices of a sample,
as a share of the true one), ``psnr_sample`` and ``psnr_mean`` (brain, dB; of a sample and of the mean of all).
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import psutil
from book_cost import memory
from side_by_side import write

from a2a.benchmark.heads import observe
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.evaluation.volumes import volume_measures
from a2a.forward.undersampling import Undersampling
from a2a.prior.prior import Prior
from a2a.samplers import mds

GIVEN, TARGET, SAMPLES, EVALUATIONS = "T1 + T1POST + T2", "FLAIR", 4, 10
ENGINES, RHOS, BETWEEN = ("torch", "onnx"), (0.0, 0.5, 0.9, 1.0), 1.0


def timed(weights: Path, folder: Path, engine: str) -> dict[str, object]:
    """Complete the files of a folder on the command line."""
    files = [part for name in GIVEN.split(" + ") for part in (f"--{name.lower()}", str(folder / f"{name}.nii.gz"))]
    with TemporaryDirectory() as out:
        line = ["-m", "a2a", "complete", "--prior", str(weights), "--given", GIVEN, "--quality", "fast"]
        line += ["--engine", engine, "--out", str(Path(out, "patient")), *files]
        environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        started, peak = time.monotonic(), 0
        with psutil.Popen([sys.executable, *line], env=environment) as command:
            while command.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    peak = max(peak, memory(command))
                time.sleep(BETWEEN)
        if command.returncode:
            raise SystemExit(f"a2a complete failed with {command.returncode}")
    minutes = (time.monotonic() - started) / 60
    return {"engine": engine, "minutes": round(minutes, 2), "peak_gib": round(peak / 2**30, 2)}


def correlated(prior: Prior, store: SliceStore, count: int) -> Iterator[dict[str, object]]:
    """Complete neighbouring slices with noise of every correlation."""
    split, target = store.split("test"), store.spec.index(TARGET)
    rows = np.arange((len(split) - count) // 2, (len(split) + count) // 2)
    found, truth = observe(store, split, rows, GIVEN, Undersampling()), np.float32(split.images[rows])
    for rho in RHOS:
        options = {"steps": EVALUATIONS, "noise_levels": "per-modality", "samples": SAMPLES, "rho": rho}
        done = mds(prior, found, **options, generators=spawn(0, len(rows), SAMPLES)).samples[:, :, target].numpy()
        brain = (truth > 0).any(axis=1)
        each = pd.DataFrame([volume_measures(image, truth[:, target], brain) for image in done]).mean()
        mean = volume_measures(done.mean(axis=0), truth[:, target], brain)
        yield {
            "rho": rho, "slices": count, "jump": round(each.jump, 3),
            "psnr_sample": round(each.psnr_brain, 2), "psnr_mean": round(mean["psnr_brain"], 2),
        }  # fmt: skip


def main() -> None:
    """Read the command line, measure, and write the table with what made it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prior", type=Path, default=repository("weights", "open-ms-1mm.safetensors"))
    parser.add_argument("--store", type=Path, required=True, help="store whose test split is the head")
    parser.add_argument("--folder", type=Path, required=True, help="files of the same head")
    parser.add_argument("--slices", type=int, default=12, help="neighbouring slices of the part noise")
    parser.add_argument("--out", type=Path, help="CSV file; a JSON of what made it is written beside it")
    options = parser.parse_args()
    store = SliceStore.open(options.store)
    slices = len(store.split("test"))
    spent = [timed(options.prior, options.folder, engine) | {"slices": slices} for engine in ENGINES]
    print(pd.DataFrame(spent).to_string(index=False), flush=True)
    os.environ["A2A_QUIET"] = "1"
    noisy = list(correlated(Prior.load(options.prior, store.spec), store, options.slices))
    print(pd.DataFrame(noisy).to_string(index=False), flush=True)
    if options.out:
        write(options.out, "time", spent)
        write(options.out, "noise", noisy)


if __name__ == "__main__":
    main()
