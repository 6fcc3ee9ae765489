"""The training loop of a prior: predict the noise, with Lightning Fabric carrying devices and processes.

Loss: ``mean |eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)|^2`` (Ho et al. 2020, Eq. 14).
Explained in the chapter "The diffusion prior".
"""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from a2a.data.store import SliceStore
from a2a.diffusion import NoiseSchedule
from a2a.errors import InputError
from a2a.prior import Prior
from a2a.progress import progress
from a2a.provenance import accelerator, processor
from a2a.training.batches import rows_of_step
from a2a.training.checkpoint import CHECKPOINT, clear_leftovers, fingerprint, is_free, load_checkpoint, save_checkpoint
from a2a.training.config import TrainConfig
from a2a.training.loader import Steps, load
from a2a.training.log import TrainingLog
from a2a.training.numerics import arrange, autocast, fastest
from a2a.training.state import State, build
from a2a.training.validation import calibrated, validation_loss

LOG, PRIOR = "log.csv", "prior.safetensors"
SOURCE = ("card", "profile", "fingerprint", "preprocessing")  # what of the store's manifest goes into the model card


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then cosine decay to zero at the last step."""
    warm = min(1.0, (step + 1) / config.warmup)
    return float(config.lr * warm * 0.5 * (1 + np.cos(np.pi * step / config.steps)))


def train(
    config: TrainConfig,
    store: SliceStore,
    out: Path,
    *,
    resume: bool = False,
    devices: int = 1,
    stop_after: int | None = None,
    workers: int = 0,
) -> Path | None:
    """Train a prior on the slices of a store.

    Parameters
    ----------
    config
        The run, see `TrainConfig`.
    store
        Slices in [0, 1]; splits ``train`` and ``val``.
    out
        Folder for the checkpoint, ``log.csv`` and, at the end, ``prior.safetensors`` with its JSON.
    resume
        Continue from the checkpoint in `out`: on the same machine with the same number of threads and devices, bit for
        bit as if the run had not been interrupted. Refused if the configuration differs.
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
        If `out` holds another run, the configuration does not fit the data, or `devices` does not divide the batch.
    RuntimeError
        If the loss or its gradient is no longer finite; names the step and its slices.
    """
    out = Path(out)
    _check(config, store, out, resume, devices)
    state, identity = build(config, store), fingerprint(config, store)
    former = load_checkpoint(out, identity) if resume else None
    fabric = Fabric(accelerator="auto", devices=devices)
    fabric.launch()
    state.network.to(fabric.device), state.ema.to(fabric.device)
    schedule = NoiseSchedule(config.schedule.kind, config.schedule.length)
    run = _Run(fabric, config, store, schedule, out, identity, workers)
    if former:
        state.restore(former)
    else:
        run.choose_numerics(state)
    run.train(state, config.steps if stop_after is None else min(stop_after, config.steps))
    return run.finish(state) if state.step == config.steps else None


def _check(config: TrainConfig, store: SliceStore, out: Path, resume: bool, devices: int) -> None:
    """Refuse what would fail later, before other processes are started and before anything is written."""
    if config.batch % devices:
        raise InputError(f"batch: {config.batch} cannot be shared by {devices} devices; choose a multiple.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder for --out.")
    if not resume and not is_free(out):
        raise InputError(f"{out}: the folder is not empty; continue its run with --resume or choose another --out.")
    for name in ("train", "val"):
        if not len(store.split(name)):
            raise InputError(f"{store.path}: the split {name} has no slices; training needs train and val.")
    if missing := [key for key in SOURCE if key not in store.manifest]:
        raise InputError(f"{store.path}: its manifest.json lacks {', '.join(missing)}; prepare the store again.")


@dataclass(frozen=True)
class _Run:
    """The surroundings of a run, which do not change."""

    fabric: Fabric
    config: TrainConfig
    store: SliceStore
    schedule: NoiseSchedule
    out: Path
    identity: str
    workers: int

    def choose_numerics(self, state: State) -> None:
        """Measure what is fastest here on the first batch; every process follows the first."""
        noisy, times, _ = next(self._batches(range(1), 0))
        chosen = fastest(state.network, noisy, times, self.config.precision)
        state.numerics = self.fabric.broadcast(chosen)
        arrange(state.network, state.numerics)

    def train(self, state: State, last: int) -> None:
        """Take the steps up to `last`."""
        log = TrainingLog(self.out / LOG)
        network, optimiser = self.fabric.setup(state.network, state.optimiser)
        if self.fabric.is_global_zero:
            self._open(state, log)
        started = time.perf_counter() - state.seconds
        batches = self._batches(range(state.step, last), self.workers)
        for step, batch in zip(self._steps(state.step, last), batches, strict=True):
            state.losses.append(self._step(network, optimiser, state, batch, step))
            state.step, state.seconds = step + 1, time.perf_counter() - started
            at_checkpoint = state.step % self.config.checkpoint_every == 0 or state.step == self.config.steps
            if self.fabric.is_global_zero and (at_checkpoint or state.step % self.config.log_every == 0):
                self._log(state, log, at_checkpoint)
            if self.fabric.is_global_zero and (at_checkpoint or state.step == last):
                save_checkpoint(self.out, state.checkpoint(), self.identity)

    def _open(self, state: State, log: TrainingLog) -> None:
        """Begin with a checkpoint, so that a folder that cannot be written shows now and every run can be resumed."""
        clear_leftovers(self.out)
        if not (self.out / CHECKPOINT).exists():
            save_checkpoint(self.out, state.checkpoint(), self.identity)
        log.trim(state.step)

    def _steps(self, first: int, last: int) -> Iterable[int]:
        """The steps to take, with progress where people look."""
        label = f"training {self.config.name}" + (f" from step {first}" if first else "")
        return progress(range(first, last), label) if self.fabric.is_global_zero else range(first, last)

    def _batches(self, numbers: range, workers: int) -> Iterator[tuple[torch.Tensor, ...]]:
        """This device's share of the batches of some steps: noisy stacks, times, noise."""
        steps = Steps(self.store, self.schedule, self.config, self.fabric.global_rank, self.fabric.world_size)
        for batch in load(steps, numbers, workers):
            yield self.fabric.to_device((batch.noisy, batch.times, batch.noise))

    def _step(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        state: State,
        batch: tuple[torch.Tensor, ...],
        step: int,
    ) -> float:
        """Take one optimiser step and return the loss of the global batch."""
        noisy, times, noise = batch
        with autocast(state.numerics, self.fabric.device):
            loss = (network(noisy, times).float() - noise).square().mean()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(network, optimiser, max_norm=self.config.clip, error_if_nonfinite=False)
        value = float(self.fabric.all_reduce(loss.detach(), reduce_op="mean"))
        if not (math.isfinite(value) and math.isfinite(norm)):
            count = len(self.store.split("train"))
            rows = sorted(rows_of_step(self.config.seed, step, self.config.batch, count))
            raise RuntimeError(
                f"training diverged at step {step}: loss {value}, gradient norm {float(norm)}, slices {rows} of "
                "train.npy; lower lr or clip, or look at these slices."
            )
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(self.config, step)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        state.average(min(self.config.ema, (1 + step) / (10 + step)))
        return value

    def _log(self, state: State, log: TrainingLog, validate: bool) -> None:
        check = validation_loss(state.ema, self.store.split("val").images, self.schedule) if validate else None
        rate = learning_rate(self.config, state.step - 1)
        log.append(state.step, state.seconds, rate, float(np.mean(state.losses)), check)
        state.losses.clear()

    def finish(self, state: State) -> Path:
        """Calibrate the averaged network on the validation split and write it with its card."""
        path, store = self.out / PRIOR, self.store
        if self.fabric.is_global_zero:
            network, held_out = state.ema.eval(), store.split("val").images
            card = {
                "config": self.config.model_dump(mode="json"),
                "data": {key: store.manifest[key] for key in SOURCE},
                "slices": len(store.split("train")),
                "parameters": sum(p.numel() for p in network.parameters()),
                "seconds": round(state.seconds),
                "device": f"{accelerator() or processor()}, {torch.get_num_threads()} threads, {state.numerics}",
                "torch": torch.__version__,
                "validation_loss": validation_loss(network, held_out, self.schedule),
            }
            prior = Prior(network, self.schedule, store.spec, store.size, card=card)
            calibrated(prior, store.split("train").images, held_out).save(path)
        self.fabric.barrier()
        return path
