r"""UMM-CSGM (Meng, Gu et al. 2022, arXiv 2207.03430): one score network for every split into given and missing.

There is no public code. The signature of the network, the loss, the configurations and Algorithm 1 are the paper's; the
process, the network and its training are ours and named below. Explained in the chapter "UMM-CSGM".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from a2a.common.rng import randn
from a2a.common.units import to_image, to_model
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.conditional import (
    ConditionalConfig,
    Predicts,
    mean_loss,
    noise_in,
    over_missing,
    target,
    validation_rows,
    wide,
)
from a2a.methods.baselines.synthesis import Synthesis, draw_given, passed_through
from a2a.methods.registry import method
from a2a.networks.conditional import ConditionalUNet
from a2a.prior.sde import EARLIEST, ContinuousProcess
from a2a.training.objective import Objective

PROCESS = ContinuousProcess()
SCALE = 1000.0  # of the times that the network is told
Network = Callable[[Tensor, Tensor, Tensor], Tensor]


class UMMCSGMConfig(ConditionalConfig):
    """Training of `UMMCSGM`.

    Published are the signature, the loss, that all configurations are drawn alike, and 1000 steps. The variance
    preserving process, the size, the optimiser and EMA are this project's.

    Parameters
    ----------
    code_in
        Where the network is told which modalities are missing: in the ``decoder``, as the paper draws it, or
        ``everywhere``.
    sampling_steps
        Steps of Algorithm 1.
    clipped
        Whether the clean estimate that a score stands for is kept in [-1, 1]. The paper says nothing of it. From t = 1
        on the reverse process enlarges what is wrong 150 times, and the little that a small network gets wrong there
        ends as an image that is white throughout.
    """

    method: Literal["umm-csgm"] = "umm-csgm"
    code_in: Literal["decoder", "everywhere"] = "decoder"
    sampling_steps: int = Field(1000, ge=1, le=round(1 / EARLIEST))
    clipped: bool = False


def mm_csn(
    network: Network, clipped: bool = False, predicts: Predicts = "noise", process: ContinuousProcess = PROCESS
) -> Network:
    r"""Return the multi-modal conditional score network of the paper, :math:`(a_t, b) + (s, 0)`.

    .. math:: NN\big((a_t, b), t, A|B\big) = (a_t, b) + \big(\nabla \log p_t(a_t | b),\, 0\big)

    Parameters
    ----------
    network
        Answers what `predicts` says of ``(a_t, b)`` at times on a scale of 1000, told the code; its answer where
        something is given does not count. The score is its noise over ``-sigma(t)``.
    predicts
        See `a2a.methods.baselines.conditional.ConditionalConfig`.
    clipped
        See `UMMCSGMConfig`.
    process
        Gives sigma.
    """

    def score_network(x: Tensor, t: Tensor, missing: Tensor) -> Tensor:
        alpha, sigma = wide(process.alpha(t)[:, None]), wide(process.sigma(t)[:, None])
        noise = noise_in(predicts, network(x, SCALE * t, missing).float(), x, alpha, sigma)
        if clipped:
            noise = (x - alpha * ((x - sigma * noise) / alpha).clamp(-1, 1)) / sigma
        return x - noise / sigma * wide(missing)

    return score_network


def generate(
    network: Network,
    stack: Tensor,
    given: Tensor,
    generators: Sequence[torch.Generator],
    steps: int,
    process: ContinuousProcess = PROCESS,
) -> Tensor:
    """Algorithm 1 of the paper: draw the missing modalities, the given ones staying as they are.

    Parameters
    ----------
    network
        With the signature of `mm_csn`.
    stack
        ``(b, n, H, W)`` in [-1, 1]; missing modalities hold anything.
    given
        Bool ``(b, n)``.
    generators
        One for each row.
    steps
        Of Euler and Maruyama.
    process
        What is reversed.
    """
    missing = (~given).to(stack.dtype)
    start = passed_through(randn(stack.shape[1:], generators, stack), stack, given)
    return process.back(lambda x, t: network(x, t, missing) - x, start, wide(missing), generators, steps)


@dataclass(frozen=True, eq=False)
class UMMCSGMObjective(Objective):
    """The noise of the missing modalities, which is the paper's loss weighted by ``sigma(t)^2``; times are uniform.

    Where the network predicts velocity, the weight is ``sigma(t)^2 / alpha(t)^2``.
    """

    config: UMMCSGMConfig

    def networks(self) -> dict[str, nn.Module]:
        """Make the network."""
        return {self.product: UMMCSGM.build(self.config, self.store.spec, self.store.size)}

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return stacks in which only the missing is noised, times, which modalities are given, and right answers."""
        given = draw_given(self.config, clean.shape[1], step, draws)
        times = EARLIEST + (1 - EARLIEST) * torch.cat([torch.rand(1, generator=draw) for draw in draws])
        return self._inputs(to_model(clean), given, times, randn(clean.shape[1:], draws))

    def _inputs(self, stack: Tensor, given: Tensor, times: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        alpha, sigma = (wide(each(times)[:, None]) for each in (PROCESS.alpha, PROCESS.sigma))
        noisy = passed_through(PROCESS.diffuse(stack, times, noise), stack, given)
        return noisy, times, given, target(self.config.predicts, stack, noise, alpha, sigma)

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the mean squared error of the answer in the missing modalities, each slice counting alike."""
        noisy, times, given, wanted = inputs
        predicted = networks[name](noisy, SCALE * times, (~given).to(noisy.dtype)).float()
        return over_missing((predicted - wanted).square(), given)

    @torch.no_grad()
    def validation(self, network: nn.Module) -> float:
        """Return the loss on fixed slices, evenly spread times, and scenarios that take turns."""
        clean, given, generators = validation_rows(self.store.split("val"))
        times, noise = torch.linspace(1, EARLIEST, len(clean)), randn(clean.shape[1:], generators)
        return mean_loss(self, network, self._inputs(to_model(clean), given, times, noise))

    def finished(self, network: nn.Module, card: dict[str, Any]) -> Synthesis[Any]:
        """Wrap the network as the method."""
        return UMMCSGM(network.eval(), self.config, self.store.spec, self.store.size, card)


@method
@dataclass(frozen=True, eq=False)
class UMMCSGM(Synthesis[UMMCSGMConfig]):
    """Completes by the reverse process of the missing modalities; several samples differ. See `UMMCSGMConfig`."""

    config: UMMCSGMConfig

    name: ClassVar[str] = "umm-csgm"
    fill: ClassVar[float | str] = "noise"
    options: ClassVar[tuple[str, ...]] = ("sampling_steps", "clipped")
    Config: ClassVar[type[UMMCSGMConfig]] = UMMCSGMConfig
    Objective: ClassVar[type[Objective]] = UMMCSGMObjective

    @classmethod
    def build(cls, config: UMMCSGMConfig, spec: StackSpec, size: int) -> nn.Module:
        """Make the network for stacks like `spec`; its code is the vector of missing modalities.

        Raises
        ------
        InputError
            If the network has more levels than the slices can be halved.
        """
        return ConditionalUNet(config.shape(len(spec), size), len(spec), code=len(spec), code_in=config.code_in)

    @property
    def evaluations(self) -> int:
        """Network evaluations for each sample."""
        return self.config.sampling_steps

    def deterministic(self, observation: Observation) -> bool:
        """Only if nothing is missing is there nothing to draw."""
        return not observation.scenario.indices("missing")

    def fill_in(self, images: Tensor, given: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Complete rows by `generate`, see `a2a.methods.baselines.synthesis.Synthesis.fill_in`."""
        network = mm_csn(self.network, self.config.clipped, self.config.predicts)
        return to_image(generate(network, to_model(images), given, generators, self.config.sampling_steps))
