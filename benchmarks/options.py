"""Which options of a compared method are the best on validation slices.

    .venv/bin/python benchmarks/options.py runs/baselines/ummcsgm-brats-64/method.safetensors \
        runs/data/phantom-brats-64-full "{sampling_steps: 50}" "{sampling_steps: 100}"

Each set of options is YAML; ``{}`` are those of the weights. The scenarios that give something take turns. Prints the
mean absolute error and the PSNR of the missing modalities, from their mean squared error, and the seconds of a slice.
"""

import argparse
import time
from pathlib import Path

import torch
import yaml

from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.methods.baselines.conditional import validation_rows
from a2a.methods.options import with_options
from a2a.methods.registry import load_method


def main() -> None:
    """Complete the slices with each set of options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("options", nargs="+")
    parser.add_argument("--every", type=int, default=4, help="take one of so many of the 64 slices")
    asked = parser.parse_args()
    store = SliceStore.open(asked.store)
    found = load_method(str(asked.weights), spec=store.spec)
    clean, given, _ = (part[:: asked.every] for part in validation_rows(store.split("val")))
    for text in asked.options:
        method, started = with_options(found, yaml.safe_load(text)), time.perf_counter()
        made = method.fill_in(clean, given, spawn(0, len(clean))).clamp(0, 1)
        error = (made - clean)[~given]
        seconds = (time.perf_counter() - started) / len(clean)
        decibel = -10 * torch.log10(error.square().mean())
        print(f"{text}: MAE {error.abs().mean():.4f}, PSNR {decibel:.2f} dB, {seconds:.2f} s a slice", flush=True)


if __name__ == "__main__":
    main()
