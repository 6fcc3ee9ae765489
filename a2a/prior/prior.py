"""A trained prior: a network that predicts noise or velocity, and the schedule it was trained with.

The network works in [-1, 1]; everything around it in image units [0, 1]. `Prior` is the only place that knows
both. Explained in the chapter "The diffusion prior".
"""

import dataclasses
import hashlib
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Annotated, Literal, get_args

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from safetensors.torch import save as to_bytes
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.files import write_atomically, write_json
from a2a.common.units import to_model
from a2a.forward.stack import StackSpec
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration, at_all_times
from a2a.prior.denoiser import Times, clamped
from a2a.prior.frequency_bands import pixel_variance
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.weights import Description, filled, modest, read_weights, state_digest

Predicts = Literal["noise", "velocity"]
MEAN = "calibration.mean"


class Tables(BaseModel):
    """A `Calibration` as a JSON holds it."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    times: tuple[int, ...] = Field(min_length=1)
    error: list[list[list[list[float]]]]
    gain: list[list[float]] | None


class PriorDescription(Description):
    """What the JSON beside the weights of a prior says."""

    network: Annotated[UNetConfig, AfterValidator(modest)]
    schedule: NoiseSchedule
    predicts: Predicts
    calibration: Tables | None


@dataclass(frozen=True)
class Prior:
    r"""The trained prior over a stack of modalities, :math:`\epsilon_\theta(x_t, t)` or :math:`v_\theta(x_t, t)`.

    Parameters
    ----------
    network
        Predictor, `(B, n, H, W)` and times `(B, 1)` or `(B, n)` to `(B, n, H, W)`.
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
        What the network answers: the noise, as in the paper, or `a2a.prior.schedule.NoiseSchedule.velocity`.

    Raises
    ------
    InputError
        If `predicts`, the network's channels or the calibration do not fit.

    Notes
    -----
    ``predict`` returns ``sqrt(abar) x_t - sqrt(1 - abar) v`` of a velocity, clamped to the data range. Of noise it is
    ``(x_t - sqrt(1 - abar) eps) / sqrt(abar)``, clamped and shrunk, ``mean + gain_t (x0 - mean)``: near t = T errors of
    the noise are amplified 20,000 times, the gain falls to 0 and leaves the mean, the best guess without data.
    """

    network: UNet
    schedule: NoiseSchedule
    spec: StackSpec
    size: int
    calibration: Calibration | None = None
    card: dict = field(default_factory=dict)
    bf16: bool = False
    predicts: Predicts = "noise"

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Predicts):
            raise InputError(f"predicts: {self.predicts!r} is neither of {', '.join(get_args(Predicts))}.")
        if self.network.config.channels != len(self.spec):
            raise InputError(f"network: {self.network.config.channels} channels for the modalities {self.spec.names}.")
        if self.calibration is not None:
            self._check(self.calibration)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.spec), self.size, self.size

    def _check(self, known: Calibration) -> None:
        if self.predicts == "velocity" and known.mean is not None:
            raise InputError("calibration: estimates from a velocity are not shrunk; it must have no mean and no gain.")
        shape = known.error.shape[-1:] if known.mean is None else known.mean.shape
        if tuple(shape) != self._shape[: len(shape)]:
            raise InputError(f"calibration: it is of {tuple(shape)}, but the prior is for {self._shape}.")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, to say which prior made a result."""
        return state_digest(self.network)

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """The noise levels that the network is told."""
        return self.network.config.noise_levels

    @property
    def like(self) -> Tensor:
        """Empty float32 tensor on the device of the network."""
        return torch.empty(0, device=next(self.network.parameters()).device)

    def _answer(self, x: Tensor, t: Times) -> Tensor:
        times = x.new_full((1, 1), t) if isinstance(t, Integral) else x.new_tensor([t])
        with torch.autocast(x.device.type, torch.bfloat16) if self.bf16 else nullcontext():
            return self.network(x, times.expand(len(x), -1)).float()

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the clamped clean estimate, see `Denoiser.predict`.

        Raises
        ------
        InputError
            If the stacks have another size than the prior.
        """
        if x.shape[1:] != self._shape:
            raise InputError(f"Stacks are {tuple(x.shape[1:])}, but the prior is for {self._shape}.")
        answer, (signal, spread) = self._answer(x, t), self.schedule.coefficients(t, x)
        if self.predicts == "velocity":
            return self.clamp((signal * x).sub_(spread * answer))
        return self._shrink(self.clamp((x - spread * answer) / signal), t)

    def _shrink(self, x0: Tensor, t: Times) -> Tensor:
        known = self.calibration
        if known is None or known.mean is None or not isinstance(t, Integral):  # the gain is that of one level for all
            return x0
        return torch.lerp(self._center.to(x0), x0, self._gains[t].to(x0))

    @cached_property
    def _center(self) -> Tensor:
        """The mean in the model's range, on the device of the network."""
        return to_model(self.calibration.mean).to(self.like)

    @cached_property
    def _gains(self) -> Tensor:
        known = self.calibration
        return at_all_times(known.times, known.gain, self.schedule.length)[..., None, None].to(self.like)

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
        known = self.calibration
        if known is not None and known.mean is not None:
            tensors[MEAN] = known.mean.to(dtype).contiguous()
        write_atomically(path, lambda p: p.write_bytes(to_bytes(tensors)))
        description = {
            "network": dataclasses.asdict(self.network.config),
            "schedule": dataclasses.asdict(self.schedule),
            "spec": self.spec.to_list(),
            "size": self.size,
            "predicts": self.predicts,
            "calibration": known and known.to_dict(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "card": self.card,
        }
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
        description, tensors = read_weights(path, PriorDescription, "a prior")
        mean = tensors.pop(MEAN).float() if MEAN in tensors else None
        said, tables = description, description.calibration
        network = filled(path, lambda: UNet(said.network), tensors, "network")
        card = said.card.model_dump(mode="json", exclude_unset=True)
        try:
            known = tables and Calibration.from_dict(tables.model_dump(), mean)
            prior = cls(network, said.schedule, StackSpec(said.spec), said.size, known, card, bf16, said.predicts)
        except (TypeError, ValueError) as error:
            fault = shown(str(error).rstrip("."))
            raise InputError(f"{path}: the JSON beside it is damaged ({fault}); fetch both files again.") from error
        if spec is not None and spec.names != prior.spec.names:
            found, needed = (f"{len(s)} modalities ({', '.join(s.names)})" for s in (prior.spec, spec))
            raise InputError(f"{path}: these weights are for {found}, but {needed} are needed.")
        return prior
