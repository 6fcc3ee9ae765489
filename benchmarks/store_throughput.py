"""How fast random training batches come out of a large slice store, and what memory that takes.

Writes a store of 50,000 slices of random numbers (4 x 128 x 128, half precision, 6.5 GB) into a temporary folder, reads
random batches from it in several ways, and compares with what the 64 x 64 prior consumes on the same processor::

    python benchmarks/store_throughput.py --out results/store-throughput.csv

Columns: ``what`` (rows: slices as stored; batches: diffused training batches), ``cache`` (cold: the store was dropped
from the system's page cache before), ``processes`` that read at once (one device each, sharing every batch),
``workers`` of each, ``slices_per_s`` of all together, ``slices_per_cpu_s`` (without workers: of a second of one core,
which other work on the machine hardly lowers), ``ratio`` of slices_per_s to ``needed_per_s``, ``core_ratio`` the same
for one core, ``anonymous_mb`` and ``resident_mb``: growth of memory of a reading process with its workers (the largest
of several) between the thirtieth batch and the end, without and with pages of the store, ``load`` of the machine.
``needed_per_s`` is what training the 64 x 64 prior takes if every core does nothing else.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import active_children, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from a2a.common.files import write_atomically
from a2a.common.paths import repository
from a2a.common.provenance import machine
from a2a.common.rng import generator
from a2a.data.store.read import SliceStore, release
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec
from a2a.methods.recipes import load_config
from a2a.networks.unet import UNet, UNetConfig
from a2a.training import PriorConfig, PriorObjective
from a2a.training.batches import rows_of_step
from a2a.training.loader import Steps, load
from a2a.training.numerics import CHOICES, arrange, autocast

SPEC = StackSpec.of("T1", "T2", "T2FLAIR", "PD")
SIZE, SUBJECT, BATCH = 128, 250, 16
SETTLED = 30
CASES = [  # what, cold, processes, workers
    ("rows", True, 1, 0),
    ("rows", False, 1, 0),
    ("batches", True, 1, 0),
    ("batches", False, 1, 0),
    ("batches", False, 1, 1),
    ("batches", False, 1, 2),
    ("batches", False, 2, 0),
    ("batches", False, 4, 1),
]


def write_store(path: Path, slices: int) -> SliceStore:
    """Fill a store with random numbers in [0, 1], and a small validation split."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, SPEC, SIZE) as writer:
        for first in range(0, slices, SUBJECT):
            count = min(SUBJECT, slices - first)
            images = rng.integers(0, 2048, (count, len(SPEC), SIZE, SIZE), dtype=np.uint16) / np.float16(2048)
            writer.add("train", f"random-{first}", list(range(count)), [0.0] * count, images)
        writer.add("val", "random-val", [0], [0.0], images[:1])
        writer.finish({"card": "random", "profile": "full"})
    return SliceStore.open(path)


def forget(store: SliceStore) -> None:
    """Drop the store from the page cache."""
    with open(store.path / "train.npy", "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory_mb() -> np.ndarray:
    """Anonymous and whole resident memory of this process and its workers together, in MB."""
    total = np.zeros(2)
    for pid in (os.getpid(), *(child.pid for child in active_children())):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        fields = dict(line.split(":") for line in lines if line.endswith("kB"))
        total += [float(fields[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS")]
    return total


def read(
    what: str, store: SliceStore, config: PriorConfig, rank: int, world: int, workers: int, seconds: float
) -> tuple[float, float, np.ndarray]:
    """Read batches for some time; return slices a second, a processor second, and growth of memory."""
    torch.set_num_threads(1)
    steps = Steps(PriorObjective(config, store), rank, world)
    images = store.split("train").images

    def rows() -> object:
        for step in range(10**9):
            yield np.stack([images[row] for row in rows_of_step(config.seed, step, config.batch, len(images))])
            release(images)

    batches = rows() if what == "rows" else load(steps, range(10**9), workers)
    count, settled = 0, None
    for number, batch in enumerate(batches):
        if number == SETTLED:
            settled, started, busy = memory_mb(), time.perf_counter(), time.process_time()
        if number > SETTLED:
            count += len(batch) if what == "rows" else len(batch[0])
            if (spent := time.perf_counter() - started) > seconds:
                return count / spent, count / (time.process_time() - busy), memory_mb() - settled


def together(processes: int, work: Callable, *arguments: object) -> list[tuple]:
    """Let processes work at the same time, each on its share."""
    if processes == 1:
        what, store, config, workers, seconds = arguments
        return [work(what, store, config, 0, 1, workers, seconds)]
    context = get_context("spawn")
    connections, readers = [], []
    for rank in range(processes):
        ours, theirs = context.Pipe()
        readers.append(context.Process(target=_send, args=(theirs, work, rank, processes, arguments)))
        connections.append(ours)
        readers[-1].start()
    done = [connection.recv() for connection in connections]
    for reader in readers:
        reader.join()
    return done


def _send(connection: Connection, work: Callable, rank: int, world: int, arguments: tuple) -> None:
    what, store, config, workers, seconds = arguments
    connection.send(work(what, store, config, rank, world, workers, seconds))


def consumption(repeats: int = 5) -> float:
    """Slices per second of the fastest training step of the shipped 64 x 64 prior, if all cores were as fast as one."""
    torch.set_num_threads(1)
    config = load_config(repository("experiments", "priors", "phantom-any2all-64.yaml"))
    network = UNet(UNetConfig(5, **config.network.model_dump()))
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr)
    noisy = torch.randn(config.batch, 5, 64, 64, generator=generator(0))
    times, fastest = torch.arange(config.batch), np.inf
    for numerics in CHOICES:
        arrange(network, numerics)
        for _ in range(repeats):
            started = time.process_time()
            with autocast(numerics, torch.device("cpu")):
                loss = network(noisy, times).float().square().mean()
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            fastest = min(fastest, time.process_time() - started)
    return os.cpu_count() * config.batch / fastest


def measure(store: SliceStore, seconds: float, needed: float) -> pd.DataFrame:
    """Run every case."""
    config = PriorConfig(name="reading", data="random", steps=1, batch=BATCH)
    table = []
    for what, cold, processes, workers in CASES:
        if cold:
            forget(store)
        done = together(processes, read, what, store, config, workers, seconds)
        speed = sum(speed for speed, _, _ in done)
        anonymous, resident = np.max([grown for _, _, grown in done], axis=0)
        names = {"what": what, "cache": "cold" if cold else "warm", "processes": processes, "workers": workers}
        figures = {"slices_per_s": round(speed), "mb_per_s": round(speed * len(SPEC) * SIZE**2 * 2 / 1e6)}
        figures["slices_per_cpu_s"] = None if workers else round(np.mean([each for _, each, _ in done]))
        ratios = {"ratio": round(speed / needed, 1)}
        ratios["core_ratio"] = None if workers else round(figures["slices_per_cpu_s"] * os.cpu_count() / needed, 1)
        growth = {"anonymous_mb": round(anonymous, 1), "resident_mb": round(resident, 1)}
        table.append(names | figures | ratios | growth | {"load": round(os.getloadavg()[0], 1)})
    return pd.DataFrame(table)


def main() -> None:
    """Read the command line, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each case")
    parser.add_argument("--folder", type=Path, help="where the store is written; by default the temporary folder")
    parser.add_argument("--out", type=Path, help="CSV file")
    options = parser.parse_args()
    needed = consumption()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        started = time.perf_counter()
        store = write_store(Path(folder) / "store", options.slices)
        written = time.perf_counter() - started
        started = time.perf_counter()
        SliceStore.open(store.path)
        opened = time.perf_counter() - started
        table = measure(store, options.seconds, needed)
    about = machine()
    facts = {"slices": options.slices, "needed_per_s": round(needed, 1), "written_s": round(written, 1)}
    facts |= {"opened_s": round(opened, 2), "device": about["device"], "torch": about["torch"]}
    table = table.assign(**facts)
    print(table.drop(columns=list(facts)).to_string(index=False))
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if options.out:
        write_atomically(options.out, lambda path: table.to_csv(path, index=False, lineterminator="\n"))


if __name__ == "__main__":
    main()
