"""A trained prior: a network, what it answers of diffused stacks, and the schedule it was trained with.

The network works in [-1, 1]; everything around it in image units [0, 1]. `Prior` is the only place that knows
both. Explained in the chapter "The diffusion prior".
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from safetensors.torch import save as to_bytes
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.files import write_atomically, write_json
from a2a.common.rng import randn, spawn
from a2a.forward.adjacent import Adjacent
from a2a.forward.stack import StackSpec
from a2a.networks.plain import PlainConfig, PlainUNet, places
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration, at_all_times
from a2a.prior.denoiser import Times, clamped
from a2a.prior.description import PlainDescription, PriorDescription
from a2a.prior.expert import Expert
from a2a.prior.frequency_bands import pixel_variance
from a2a.prior.linear import LinearEstimate
from a2a.prior.principal import PrincipalEstimate
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Predicts, Target
from a2a.prior.weights import filled, read_description, read_weights, state_digest

Network: TypeAlias = UNet | PlainUNet


def _network(config: UNetConfig | PlainConfig) -> Network:
    return PlainUNet(config) if isinstance(config, PlainConfig) else UNet(config)


@dataclass(frozen=True)
class Prior:
    r"""The trained prior over a stack of modalities, :math:`\epsilon_\theta(x_t, t)` or another `Target`.

    Parameters
    ----------
    network
        Predictor, what `Target.shown` makes of stacks `(B, n, H, W)` and times `(B, 1)` or `(B, n)` to `(B, n, H, W)`.
    schedule
        Its noise schedule.
    spec
        Names of the n modalities.
    size
        Height and width it was trained for.
    calibration
        What validation slices say of its clean estimates, or None before it is measured.
    card
        Model card: configuration, data with their preprocessing, cost, losses.
    bf16
        Evaluate the network under bf16 autocast (faster on some machines, about 1 % relative error).
    predicts
        What the network answers: the noise, as in the paper, the velocity, or the clean stack; see
        `a2a.prior.target.Target`.
    linear
        The linear estimate that the network corrects, or None.
    window
        Rows and columns at which a plain network looks, see `within`; None for all.
    adjacent
        What a plain network is shown of the slices below and above, see `beside`; None where nothing is known.
    dataset
        Identifier of the data set that the network is told, where it learned several, see `told`.
    expert
        Answers at the noisiest times where modalities are given; None where the network answers at all times.
    absent
        Modalities that nothing is known of and that nobody asks for: the network is shown noise at the last level in
        their place, whatever the time of the others.

    Raises
    ------
    InputError
        If `predicts`, the network's channels, the calibration or the linear estimate do not fit.

    Notes
    -----
    ``predict`` returns the clean stack that belongs to the answer (see `a2a.prior.target.Target`), clamped to the data
    range. Where noise is predicted it is then shrunk, ``mean + gain_t (x0 - mean)``: near t = T errors of the noise are
    amplified 20,000 times, the gain falls to 0 and leaves the mean, the best guess without data. With components (see
    `a2a.prior.principal.PrincipalEstimate`) it is shrunk towards the linear estimate of all modalities, whatever is
    predicted: with the gain of validation slices it errs no more than either.
    """

    network: Network
    schedule: NoiseSchedule
    spec: StackSpec
    size: int
    calibration: Calibration | None = None
    card: dict[str, Any] = field(default_factory=dict)
    bf16: bool = False
    predicts: Predicts = "noise"
    linear: LinearEstimate | None = None
    window: tuple[slice, slice] | None = None
    adjacent: Tensor | None = None
    dataset: str = ""
    absent: tuple[int, ...] = ()
    expert: "Expert[Prior] | None" = None

    def __post_init__(self) -> None:
        config, stacks = self.network.config, self.target.stacks
        if config.channels != len(self.spec):
            raise InputError(f"network: {config.channels} channels for the modalities {self.spec.names}.")
        if config.stacks != stacks:
            raise InputError(f"network: it is shown {config.stacks} stacks, but what it predicts needs {stacks}.")
        if self.linear is not None and tuple(self.linear.mean.shape) not in (self._shape, (len(self.spec), 1, 1)):
            raise InputError(f"linear: it is of {tuple(self.linear.mean.shape)}, but the prior is for {self._shape}.")
        if self.calibration is not None:
            self.calibration.check(self._shape, self.predicts)
        if self.expert is not None and self.expert.mirrored and isinstance(self.expert.prior.network, PlainUNet):
            raise InputError("expert: a plain network, which looks at parts of slices, is not asked of mirror images.")

    def __repr__(self) -> str:
        name, parameters = self.card.get("config", {}).get("name"), sum(p.numel() for p in self.network.parameters())
        return f"Prior({name!r}, {self.spec.names}, size={self.size}, predicts={self.predicts!r}, {parameters=})"

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.spec), self.size, self.size

    @cached_property
    def target(self) -> Target:
        """What the network is shown, and what it answers."""
        return Target(self.schedule, self.predicts, self.linear and self.linear.to(self.like))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, to say which prior made a result."""
        known = self.calibration.gaussian_tensors() if self.calibration else {}
        return state_digest(self.network.state_dict() | (self.linear.tensors() if self.linear else {}) | known)

    @cached_property
    def digest_with_expert(self) -> str:
        """The same of both networks, where an `expert` answers in part."""
        if self.expert is None:
            return self.digest
        both = f"{self.digest}\n{self.expert.prior.digest}\n{self.expert.since}" + "\nmirrored" * self.expert.mirrored
        return hashlib.sha256(both.encode()).hexdigest()

    def to(self, device: torch.device | str) -> "Prior":
        """Bring the networks to a device, and return this prior."""
        self.network.to(device)
        if self.expert is not None:
            self.expert.prior.network.to(device)
        return self

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """The noise levels that the network is told."""
        return self.network.config.noise_levels

    @property
    def like(self) -> Tensor:
        """Empty float32 tensor on the device of the network."""
        return torch.empty(0, device=next(self.network.parameters()).device)

    @property
    def datasets(self) -> dict[str, list[str]]:
        """The data sets that it learned, each with the modalities that were seen there; none of most priors."""
        found: dict[str, list[str]] = self.card.get("datasets", {})
        return found if isinstance(self.network, UNet) and self.network.config.datasets else {}

    @property
    def number(self) -> int:
        """What the network is told of the data set.

        Raises
        ------
        InputError
            If the prior learned several and none is chosen.
        """
        known = sorted(self.datasets)
        if self.dataset not in known:
            raise InputError(f"dataset: this prior learned several data sets; choose one of {', '.join(known)}.")
        return known.index(self.dataset)

    def told(self, dataset: str) -> "Prior":
        """Return the prior of one of its data sets; modalities that were never seen there are `absent`.

        Raises
        ------
        InputError
            If the weights do not know it; the message lists those they know.
        """
        known = self.datasets
        if dataset not in known:
            raise InputError(f"dataset: these weights know {', '.join(sorted(known)) or 'none'}, not {dataset!r}.")
        unseen = tuple(i for i, name in enumerate(self.spec.names) if name not in known[dataset])
        return replace(self, dataset=dataset, absent=unseen)

    @cached_property
    def _nothing(self) -> Tensor:
        """What stands in the place of an absent modality: noise, always the same."""
        return randn(self._shape, spawn(0, 1), self.like)

    def _answer(self, x: Tensor, t: Times, adjacent: Tensor | None = None) -> Tensor:
        times = x.new_full((1, 1), int(t)) if isinstance(t, Integral) else x.new_tensor([t])
        told = (x.new_full((len(x),), self.number),) if self.datasets else () if adjacent is None else (adjacent,)
        with torch.autocast(x.device.type, torch.bfloat16) if self.bf16 else nullcontext():
            return self.network(x, times.expand(len(x), -1), *told).float()

    def within(self, mask: Tensor) -> "Prior":
        """Return the same prior that looks only where it matters, which is faster; elsewhere it is not to be asked.

        Only a plain network can: it is told where each pixel lies, and what it says of a pixel depends on what is near.

        Parameters
        ----------
        mask
            Where its estimates matter, ``bool (H, W)``.
        """
        expert = self.expert and replace(self.expert, prior=self.expert.prior.within(mask))
        if not (isinstance(self.network, PlainUNet) and bool(mask.any())):
            return replace(self, expert=expert) if expert else self
        stride = self.network.config.stride
        lines = (torch.nonzero(mask.any(dim=axis)).flatten() for axis in (1, 0))
        edges = [_edges(int(found[0]), int(found[-1]) + 1, stride, self.size) for found in lines]
        return replace(self, window=(slice(*edges[0]), slice(*edges[1])), expert=expert)

    def beside(self, adjacent: Adjacent) -> "Prior":
        """Return the prior of some slices, which is shown what lies below and above them, if its network looks there.

        Parameters
        ----------
        adjacent
            Of the slices that it will be asked for, in their order.
        """
        expert = self.expert and replace(self.expert, prior=self.expert.prior.beside(adjacent))
        if not (isinstance(self.network, PlainUNet) and self.network.config.adjacent):
            return replace(self, expert=expert) if expert else self
        return replace(self, adjacent=self.target.beside(adjacent.gathered().to(self.like)), expert=expert)

    def _looked(self, shown: Tensor, t: Times) -> Tensor:
        """What the network answers, in its window; 0 elsewhere."""
        if self.window is None:
            return self._answer(shown, t, self.adjacent)
        rows, columns = self.window
        place = places(self.size, self.size).to(shown).expand(len(shown), -1, -1, -1)
        beside = None if self.adjacent is None else self.adjacent[:, :, rows, columns]
        part = self._answer(torch.cat([shown, place], dim=1)[:, :, rows, columns], t, beside)
        left, right = columns.start, self.size - columns.stop
        return F.pad(part, (left, right, rows.start, self.size - rows.stop))

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the clamped clean estimate, see `Denoiser.predict`.

        Raises
        ------
        InputError
            If the stacks have another size than the prior.
        """
        if x.shape[1:] != self._shape:
            raise InputError(f"Stacks are {tuple(x.shape[1:])}, but the prior is for {self._shape}.")
        if self.expert is not None and self.expert.answers(t):
            own = self.expert.prior
            same = own if own.bf16 == self.bf16 else replace(own, bf16=self.bf16)
            return replace(self.expert, prior=same).predict(x, t)
        if self.absent:
            last = self.schedule.length - 1
            levels = t if isinstance(t, Sequence) else [int(t)] * len(self.spec)
            t = [last if i in self.absent else int(level) for i, level in enumerate(levels)]
            gone = torch.tensor([i in self.absent for i in range(len(self.spec))], device=x.device)[:, None, None]
            x = torch.where(gone, self._nothing.to(x), x)
        shown, (offset, slope) = self.target.shown(x, t)
        return self.shrunk(self.clamp(offset + slope * self._looked(shown, t)), x, t)

    def shrunk(self, x0: Tensor, x: Tensor, t: Times) -> Tensor:
        """Return a clean estimate moved towards that of a Gaussian, where all modalities have one level; see the notes.

        Parameters
        ----------
        x0
            Clean estimate `(B, n, H, W)`, model range.
        x
            The diffused stacks.
        t
            Their time; estimates at several levels stay as they are.
        """
        if self._shrinkage is None or not isinstance(t, Integral):  # the gain is that of one level for all
            return x0
        gaussian, gains = self._shrinkage
        abar = self.schedule.abar(int(t))
        return torch.lerp(self.clamp(gaussian(x.to(x0), abar**0.5, (1 - abar) ** 0.5)), x0, gains[int(t)].to(x0))

    @cached_property
    def _shrinkage(self) -> tuple[PrincipalEstimate, Tensor] | None:
        """The Gaussian's estimate and the gain of each time, on the device of the network, if there are any."""
        known = self.calibration
        if known is None or known.gain is None:
            return None
        gains = at_all_times(known.times, known.gain, self.schedule.length)[..., None, None]
        return known.gaussian(self.like), gains.to(self.like)

    @cached_property
    def _errors(self) -> Tensor:
        known = self.calibration
        if known is None:
            raise InputError("These weights carry no validation error table; finish `a2a train`, which measures it.")
        return at_all_times(known.times, known.error, self.schedule.length)

    def clamp(self, x: Tensor) -> Tensor:
        """Clamp to [-1, 1], see `Denoiser.clamp`."""
        return clamped(x)

    def variance(self, t: int) -> Tensor:
        """Pixel variance of the validation error, `(n,)` in squared image units; see `Denoiser.variance`."""
        return pixel_variance(self.error_covariance(t), self.size, self.size)

    def error_covariance(self, t: int) -> Tensor:
        """Interpolate the stored error, `(K, n, n)` in squared image units; see `Denoiser.error_covariance`."""
        return self._errors[t]

    def save(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        """Write ``path`` (.safetensors) and beside it a JSON with sizes, spec, schedule and the model card."""
        path = Path(path)
        tensors = {k: v.detach().cpu().to(dtype).contiguous() for k, v in self.network.state_dict().items()}
        tensors |= self.linear.tensors() if self.linear else {}
        tensors |= self.calibration.tensors(dtype) if self.calibration else {}
        write_atomically(path, lambda p: p.write_bytes(to_bytes(tensors)))
        expert = self.expert and {
            "weights": self.expert.name,
            "since": self.expert.since,
            "mirrored": self.expert.mirrored,
        }
        description = {
            "network": dataclasses.asdict(self.network.config),
            "schedule": dataclasses.asdict(self.schedule),
            "spec": self.spec.to_list(),
            "size": self.size,
            "predicts": self.predicts,
            "calibration": self.calibration and {"times": self.calibration.times},
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "card": self.card,
        } | ({"expert": expert} if expert else {})
        write_json(path.with_suffix(".json"), description)

    @classmethod
    def load(cls, path: Path, spec: StackSpec | None = None, bf16: bool = False) -> "Prior":
        """Read weights written by `save`.

        Parameters
        ----------
        path
            The .safetensors file; its JSON lies beside it.
        spec
            Modalities that the caller needs; refused if the weights have others.
        bf16
            See the class.

        Raises
        ------
        InputError
            If a file is missing or corrupt, or the modalities differ.
        """
        path = Path(path)
        sizes = read_description(path).get("network")
        plain = isinstance(sizes, dict) and "widths" in sizes
        description, tensors = read_weights(path, PlainDescription if plain else PriorDescription, "a prior")
        said, linear = description, LinearEstimate.taken_from(tensors)
        card = said.card.model_dump(mode="json", exclude_unset=True)
        try:
            known = Calibration.taken_from(said.calibration.times, tensors) if said.calibration else None
        except InputError as error:
            raise InputError(f"{path}: the JSON beside it is damaged ({error}); fetch both files again.") from error
        network = filled(path, lambda: _network(said.network), tensors, "network")
        try:
            of = StackSpec(said.spec)
            prior = cls(network, said.schedule, of, said.size, known, card, bf16, said.predicts, linear)
        except (TypeError, ValueError) as error:
            fault = shown(str(error).rstrip("."))
            raise InputError(f"{path}: the JSON beside it is damaged ({fault}); fetch both files again.") from error
        if said.expert is not None:
            prior = replace(prior, expert=Expert.load(path, prior, said.expert, cls.load))
        if spec is not None and spec.names != prior.spec.names:
            found, needed = (f"{len(s)} modalities ({', '.join(s.names)})" for s in (prior.spec, spec))
            raise InputError(f"{path}: these weights are for {found}, but {needed} are needed.")
        return prior


def _edges(first: int, last: int, stride: int, size: int) -> tuple[int, int]:
    """Widen a range by `stride` pixels, and to multiples of it, within the slice."""
    return max(first - stride, 0) // stride * stride, min(-(-(last + stride) // stride) * stride, size)
