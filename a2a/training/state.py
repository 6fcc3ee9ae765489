"""What a training step changes, how it begins, and how it goes into a checkpoint and comes back."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.training.checkpoint import Checkpoint
from a2a.training.numerics import arrange
from a2a.training.objective import Objective


@dataclass
class State:
    """Networks and optimisers by name, the product's average, steps done, seconds spent, losses not in the log yet."""

    networks: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    product: str
    ema: nn.Module
    step: int = 0
    seconds: float = 0.0
    numerics: str = "float32"
    losses: list[float] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """Copy everything to named CPU tensors."""
        flat = {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        for name, network in self.networks.items():
            flat |= {f"{name}.weights.{k}": v for k, v in network.state_dict().items()}
            for i, moments in self.optimisers[name].state_dict()["state"].items():
                flat |= {f"{name}.moments.{i}.{k}": v for k, v in moments.items()}
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in flat.items()}
        return Checkpoint(self.step, self.seconds, self.numerics, tensors, tuple(self.losses))

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint back, bit for bit and in the memory layout it was computed in.

        Raises
        ------
        InputError
            If its tensors are not those of these networks.
        """
        try:
            self.ema.load_state_dict(_below("ema.", checkpoint.tensors))
            for name, network in self.networks.items():
                network.load_state_dict(_below(f"{name}.weights.", checkpoint.tensors))
        except RuntimeError as error:
            raise InputError("The checkpoint's tensors do not fit this version's network; start a new run.") from error
        self.arrange(checkpoint.numerics)
        for name, optimiser in self.optimisers.items():
            _restore_moments(optimiser, _below(f"{name}.moments.", checkpoint.tensors))
        self.step, self.seconds, self.losses = checkpoint.step, checkpoint.seconds, list(checkpoint.losses)

    def arrange(self, numerics: str) -> None:
        """Compute as `numerics` says from now on."""
        self.numerics = numerics
        for network in self.networks.values():
            arrange(network, numerics)

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Move the averaged weights towards the weights: ``ema = decay * ema + (1 - decay) * weights``.

        Statistics of a normalisation are averages already and are copied.
        """
        network = self.networks[self.product]
        torch._foreach_lerp_(list(self.ema.parameters()), list(network.parameters()), 1 - decay)
        for kept, buffer in zip(self.ema.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)


def build(objective: Objective) -> State:
    """Make networks, average and optimisers of an objective; their weights depend on its seed alone.

    Raises
    ------
    InputError
        If the slices do not fit the networks.
    """
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(generator(objective.config.seed).initial_seed())
        networks = objective.networks()
    optimisers = {name: objective.optimiser(network) for name, network in networks.items()}
    ema = copy.deepcopy(networks[objective.product]).requires_grad_(False).eval()
    return State(networks, optimisers, objective.product, ema)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _restore_moments(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Lay each moment out as its parameter, as a new optimiser would: another layout rounds differently."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".")
        is_count = value.dim() == 0
        placed = value if is_count else torch.empty_like(parameters[int(number)]).copy_(value)
        moments.setdefault(int(number), {})[name] = placed
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
