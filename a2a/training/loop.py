"""The one training loop, of priors and methods, with Lightning Fabric carrying devices and processes.

Explained in the chapter "The diffusion prior".
"""

import math
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from a2a.common.children import noted_signals
from a2a.common.errors import InputError
from a2a.common.files import say_if_full
from a2a.common.outputs import check_place, hold
from a2a.common.progress import progress, remark
from a2a.common.provenance import accelerator, processor
from a2a.common.rng import generator
from a2a.data.store.read import SliceStore
from a2a.data.volumes.brightness import brightness
from a2a.training.batches import NETWORK
from a2a.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    fingerprint,
    is_free,
    load_checkpoint,
    require_checkpoint,
    save_checkpoint,
)
from a2a.training.config import TrainConfig
from a2a.training.loader import Steps, load
from a2a.training.log import TrainingLog
from a2a.training.numerics import autocast, fastest
from a2a.training.objective import Objective
from a2a.training.state import State, build

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOG = "log.csv"
SOURCE = ("card", "profile", "fingerprint", "preprocessing")  # what of the store's manifest goes into the model card


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up times a cosine that falls to zero over all steps."""
    warm = min(1.0, (step + 1) / config.warmup)
    return float(config.lr * warm * 0.5 * (1 + np.cos(np.pi * step / config.steps)))


def train(
    objective: Objective,
    out: Path,
    *,
    resume: bool = False,
    devices: int = 1,
    stop_after: int | None = None,
    workers: int = 0,
) -> Path | None:
    """Train the networks of an objective on its slices.

    Parameters
    ----------
    objective
        The run and its store, see `Objective`.
    out
        Folder for the checkpoint, ``log.csv`` and, at the end, the weights with their JSON.
    resume
        Continue from the checkpoint in `out`: on the CPU of the same machine, with the same number of threads and
        devices, bit for bit as if the run had not been interrupted (kernels of a GPU may round otherwise from run to
        run). Refused if the configuration differs.
    devices
        Processes (GPUs where there are some); the global batch is shared between them.
    stop_after
        Stop, with a checkpoint, after this step (for schedulers with a time limit); 0 only prepares the run.
    workers
        Processes for each device that make batches ahead of time; changes nothing but the pace.

    Returns
    -------
    Path or None
        The weights, or None when stopped before the last step.

    Raises
    ------
    InputError
        If `out` holds another run or cannot be written, the configuration does not fit the data, or `devices` are none,
        more than the GPUs that are there, or do not divide the batch.
    Failure
        If another process trains in `out`, or there is no room.
    RuntimeError
        If a loss or its gradient is no longer finite; names the step and its slices.
    """
    out, config = Path(out), objective.config
    _check(objective, out, resume, devices)
    state, identity = build(objective), fingerprint(config, objective.store)
    if devices > 1 and len(state.networks) > 1:
        raise InputError(f"devices: {config.name} trains {', '.join(state.networks)} in turns, on one device only.")
    room = 3 * _bytes(state)  # the former checkpoint, the one that replaces it, and the weights
    place = check_place(out, room)
    with hold(place, inside=True) if _is_first() else nullcontext(), say_if_full(out, room):
        if not resume and _is_first():  # another run may have been faster
            _require_free(out)
        former = load_checkpoint(out, identity) if resume else None
        return _train(objective, out, state, identity, former, devices, stop_after, workers)


def _is_first() -> bool:
    """Whether this is the process that writes, also before the others of a run with several devices have met."""
    ranks = (os.environ[name] for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if name in os.environ)
    return int(next(ranks, 0)) == 0


def _bytes(state: State) -> int:
    """Size of the networks with the two moments of their optimisers."""
    return 3 * sum(p.numel() * p.element_size() for network in state.networks.values() for p in network.parameters())


def _train(
    objective: Objective,
    out: Path,
    state: State,
    identity: str,
    former: Checkpoint | None,
    devices: int,
    stop_after: int | None,
    workers: int,
) -> Path | None:
    """Train in a folder that is held."""
    from lightning_fabric import Fabric  # two seconds, which what only reads a recipe need not wait

    config = objective.config
    with warnings.catch_warnings():  # a run on one machine is in order, also where there is a Slurm
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(accelerator="auto", devices=devices)
    fabric.launch()
    for network in (*state.networks.values(), state.ema):
        network.to(fabric.device)
    run = _Run(fabric, objective, out, identity, workers)
    if former:
        state.restore(former)
    else:
        run.choose_numerics(state)
    run.train(state, config.steps if stop_after is None else min(stop_after, config.steps))
    return run.finish(state) if state.step == config.steps else None


def _check(objective: Objective, out: Path, resume: bool, devices: int) -> None:
    """Refuse what would fail later, before other processes are started and before anything is written."""
    config, store = objective.config, objective.store
    if devices < 1:
        raise InputError(f"devices: {devices} must be 1 or more.")
    if 0 < torch.cuda.device_count() < devices:
        raise InputError(f"devices: {devices} are more than the {torch.cuda.device_count()} GPUs of this machine.")
    if config.batch % devices:
        raise InputError(f"batch: {config.batch} cannot be shared by {devices} devices; choose a multiple.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder for --out.")
    check_place(out)
    if resume:
        require_checkpoint(out)
    elif _is_first():
        _require_free(out)
    for name in ("train", "val"):
        if not len(store.split(name)):
            raise InputError(f"{store.path}: the split {name} has no slices; training needs train and val.")
    if store.datasets and not objective.incomplete:
        raise InputError(
            f"{store.path}: subjects of this collection lack modalities, and {config.name} needs complete stacks; "
            "take a method for collections, such as pmmsynth."
        )
    if missing := [key for key in SOURCE if key not in store.manifest]:
        raise InputError(f"{store.path}: its manifest.json lacks {', '.join(missing)}; prepare the store again.")


def _brightness(store: SliceStore) -> dict[str, list[float]]:
    """How bright each modality is in the slices of training."""
    images = store.split("train").images
    return {name: brightness(images[:, channel]) for channel, name in enumerate(store.spec.names)}


def _require_free(out: Path) -> None:
    if not is_free(out):
        raise InputError(f"{out}: the folder is not empty; continue its run with --resume or choose another --out.")


@dataclass(frozen=True)
class _Run:
    """The surroundings of a run, which do not change."""

    fabric: "Fabric"
    objective: Objective
    out: Path
    identity: str
    workers: int

    @property
    def config(self) -> TrainConfig:
        return self.objective.config

    def choose_numerics(self, state: State) -> None:
        """Take what the configuration names, or measure what is fastest; every process follows the first."""
        chosen = self.config.precision
        if chosen == "auto":
            inputs = next(self._inputs(range(1), 0))
            losses = lambda trial: (self.objective.loss(name, trial, inputs) for name in trial)  # noqa: E731
            chosen = self.fabric.broadcast(fastest(state.networks, losses, self.fabric.device))
        state.arrange(chosen)

    def train(self, state: State, last: int) -> None:
        """Take the steps up to `last`; on one device, SIGTERM ends them after the step at hand, with a checkpoint."""
        log = TrainingLog(self.out / LOG)
        ready = {name: self.fabric.setup(net, state.optimisers[name]) for name, net in state.networks.items()}
        if self.fabric.is_global_zero:
            self._open(state, log)
        started = time.perf_counter() - state.seconds
        inputs = self._inputs(range(state.step, last), self.workers)
        with noted_signals() if self.fabric.world_size == 1 else nullcontext([]) as asked:
            for step, tensors in zip(self._steps(state.step, last), inputs, strict=True):
                self._step(ready, state, tensors, step)
                state.step, state.seconds = step + 1, time.perf_counter() - started
                self._keep(state, log, state.step == last or bool(asked))
                if asked:
                    remark(f"asked to end; {self.out / CHECKPOINT} is of step {state.step}, --resume continues it")
                    raise SystemExit(128 + asked[0])

    def _keep(self, state: State, log: TrainingLog, ends: bool) -> None:
        """Write the rows of the log and the checkpoints that are due after a step."""
        if not self.fabric.is_global_zero:
            return
        at_checkpoint = state.step % self.config.checkpoint_every == 0 or state.step == self.config.steps
        if at_checkpoint or state.step % self.config.log_every == 0:
            self._log(state, log, at_checkpoint)
        if at_checkpoint or ends:
            save_checkpoint(self.out, state.checkpoint(), self.identity)

    def _open(self, state: State, log: TrainingLog) -> None:
        """Begin with a checkpoint, so that a folder that cannot be written shows now and every run can be resumed."""
        if not (self.out / CHECKPOINT).exists():
            save_checkpoint(self.out, state.checkpoint(), self.identity)
        log.trim(state.step)

    def _steps(self, first: int, last: int) -> Iterable[int]:
        """The steps to take, with progress where people look."""
        label = f"training {self.config.name}" + (f" from step {first}" if first else "")
        return progress(range(first, last), label) if self.fabric.is_global_zero else range(first, last)

    def _inputs(self, numbers: range, workers: int) -> Iterator[tuple[Tensor, ...]]:
        """This device's share of the inputs of some steps."""
        steps = Steps(self.objective, self.fabric.global_rank, self.fabric.world_size)
        for tensors in load(steps, numbers, workers):
            yield self.fabric.to_device(tensors)

    def _step(
        self,
        ready: Mapping[str, tuple[nn.Module, torch.optim.Optimizer]],
        state: State,
        inputs: tuple[Tensor, ...],
        step: int,
    ) -> None:
        """Update each network in its turn, the others frozen."""
        networks = {name: network for name, (network, _) in ready.items()}
        with torch.random.fork_rng([self.fabric.device] if self.fabric.device.type == "cuda" else []):
            torch.manual_seed(generator(self.config.seed, NETWORK, step, self.fabric.global_rank).initial_seed())
            for name, (network, optimiser) in ready.items():
                for other, frozen in networks.items():
                    frozen.requires_grad_(other == name)
                with autocast(state.numerics, self.fabric.device):
                    loss = self.objective.loss(name, networks, inputs)
                value = self._update(network, optimiser, loss, step)
                if name == state.product:
                    state.losses.append(value)
        state.average(min(self.config.ema, (1 + step) / (10 + step)))

    def _update(self, network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, step: int) -> float:
        """Take one optimiser step and return the loss of the global batch."""
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(network, optimiser, max_norm=self.config.clip, error_if_nonfinite=False)
        value = float(self.fabric.all_reduce(loss.detach(), reduce_op="mean"))
        if not (math.isfinite(value) and math.isfinite(norm)):
            rows = sorted(self.objective.rows(step, len(self.objective.store.split("train"))))
            raise RuntimeError(
                f"training diverged at step {step}: loss {value}, gradient norm {float(norm)}, slices {rows} of "
                "train.npy; lower lr or clip, or look at these slices."
            )
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.config, step)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return value

    def _log(self, state: State, log: TrainingLog, validate: bool) -> None:
        check = self.objective.validation(state.ema) if validate else None
        rate = learning_rate(self.config, state.step - 1)
        log.append(state.step, state.seconds, rate, float(np.mean(state.losses)), check)
        state.losses.clear()

    def finish(self, state: State) -> Path:
        """Write the averaged product with its card."""
        path, store = self.out / self.objective.file, self.objective.store
        if self.fabric.is_global_zero:
            card = {
                "config": self.config.model_dump(mode="json"),
                "data": {key: store.said(key) for key in SOURCE} | {"brightness": _brightness(store)},
                "slices": len(store.split("train")),
                "images_seen": self.config.steps * self.config.batch,
                "parameters": sum(p.numel() for p in state.ema.parameters()),
                "seconds": round(state.seconds),
                "device": f"{accelerator() or processor()}, {torch.get_num_threads()} threads, {state.numerics}",
                "torch": torch.__version__,
                "validation_loss": self.objective.validation(state.ema),
            }
            self.objective.finished(state.ema, card).save(path)
        self.fabric.barrier()
        return path
