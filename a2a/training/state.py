"""What a training step changes, how it begins, and how it goes into a checkpoint and comes back."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from a2a.data.store import SliceStore
from a2a.diffusion import NoiseSchedule
from a2a.errors import InputError
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior import Prior
from a2a.rng import generator
from a2a.training.checkpoint import Checkpoint
from a2a.training.config import TrainConfig
from a2a.training.numerics import arrange


@dataclass
class State:
    """Network, its moving average, optimiser, steps done, seconds spent, and losses that are not in the log yet."""

    network: nn.Module
    ema: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    numerics: str = "float32"
    losses: list[float] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """Copy everything to named CPU tensors."""
        flat = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        flat |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for i, moments in self.optimiser.state_dict()["state"].items():
            flat |= {f"optimiser.{i}.{k}": v for k, v in moments.items()}
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in flat.items()}
        return Checkpoint(self.step, self.seconds, self.numerics, tensors, tuple(self.losses))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint back, bit for bit and in the memory layout it was computed in.

        Raises
        ------
        InputError
            If its tensors are not those of this network.
        """
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "ema": {}, "optimiser": {}}
        try:
            for key, value in checkpoint.tensors.items():
                part, name = key.split(".", 1)
                parts[part][name] = value
            self.network.load_state_dict(parts["network"])
            self.ema.load_state_dict(parts["ema"])
        except (KeyError, RuntimeError) as error:
            raise InputError("The checkpoint's tensors do not fit this version's network; start a new run.") from error
        arrange(self.network, checkpoint.numerics)
        self._restore_moments(parts["optimiser"])
        self.step, self.seconds, self.numerics = checkpoint.step, checkpoint.seconds, checkpoint.numerics
        self.losses = list(checkpoint.losses)

    def _restore_moments(self, tensors: dict[str, Tensor]) -> None:
        """Lay each moment out as its parameter, as a new optimiser would: another layout rounds differently."""
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            number, name = key.split(".")
            is_count = value.dim() == 0
            placed = value if is_count else torch.empty_like(parameters[int(number)]).copy_(value)
            moments.setdefault(int(number), {})[name] = placed
        self.optimiser.load_state_dict({"state": moments, "param_groups": self.optimiser.state_dict()["param_groups"]})

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the averaged weights towards the weights: ``ema = decay * ema + (1 - decay) * weights``."""
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)


def build(config: TrainConfig, store: SliceStore) -> State:
    """Make the network, its average and its optimiser from the configuration's seed, or from the weights it names.

    Raises
    ------
    InputError
        If the store's slices do not fit the network, or the named weights are of another network, schedule or stack.
    """
    size = UNetConfig(len(store.spec), **config.network.model_dump())
    if store.size % size.stride:
        raise InputError(f"network: slices of side {store.size} do not fit, {size.stride} must divide the side.")
    with torch.random.fork_rng():
        torch.manual_seed(generator(config.seed).initial_seed())
        network = UNet(size)
    if config.start:
        network.load_state_dict(_weights(config, size, store).state_dict())
    ema = copy.deepcopy(network).requires_grad_(False)
    network.checkpointing = config.checkpointing
    return State(network, ema, torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=0.0))


def _weights(config: TrainConfig, size: UNetConfig, store: SliceStore) -> nn.Module:
    """Return the network of the prior that the configuration starts from."""
    prior = Prior.load(config.start, store.spec)
    for name, found, wanted in (
        ("network", prior.network.config, size),
        ("schedule", prior.schedule, NoiseSchedule(config.schedule.kind, config.schedule.length)),
    ):
        if found != wanted:
            raise InputError(f"start: {config.start} was trained with {found}, but field {name} says {wanted}.")
    return prior.network
