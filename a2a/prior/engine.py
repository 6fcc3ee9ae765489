"""A prior as an ONNX file: for ONNX Runtime, which is faster on a processor, and for a browser.

Explained in the chapter "Faster" and used by the page "Try it". Needs the extra ``[onnx]``.
"""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from a2a.common.errors import InputError
from a2a.forward.adjacent import SIDES, Adjacent
from a2a.forward.stack import StackSpec
from a2a.networks.plain import PlainUNet, places
from a2a.prior.denoiser import Times
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Target

if TYPE_CHECKING:
    import onnx
    import onnxruntime

TOLERANCE = 1e-4  # largest difference of a clean estimate, model range
_OPSET, _DIGEST, _SMALL = 20, "a2a_prior", 1024
_CHECKED_AT = (0.0, 0.3, 0.6, 0.9)  # shares of the schedule; near 1, rounding of a predicted noise is amplified


class _Estimate(nn.Module):
    """The clean estimate as one graph; the schedule stays outside: its coefficients are inputs."""

    def __init__(self, network: nn.Module, target: Target) -> None:
        super().__init__()
        self.network, self.target = network, target

    def forward(
        self,
        x: Tensor,
        times: Tensor,
        signal: Tensor,
        spread: Tensor,
        place: Tensor | None = None,
        adjacent: Tensor | None = None,
    ) -> Tensor:
        shown, (offset, slope) = self.target.shown_at(x, signal, spread)
        if place is not None:
            shown = torch.cat([shown, place.expand(x.shape[0], -1, -1, -1)], dim=1)
        beside = () if adjacent is None else (adjacent,)
        return (offset + slope * self.network(shown, times.expand(x.shape[0], -1), *beside)).clamp(-1, 1)


def export_onnx(prior: Prior, path: Path | str, half: bool = False) -> None:
    r"""Write the clean estimate :math:`\hat x_0(x_t, t)` of a prior as an ONNX file.

    Its inputs are ``x`` `(B, n, H, W)` in the model's range, ``times`` `(1, 1)` or, with noise levels of each modality,
    `(1, n)`, and the coefficients ``signal`` and ``spread`` of these times, `(1, n, 1, 1)`; its output is ``x0``,
    clamped to [-1, 1]. That of a plain network takes parts of slices too, see `Prior.within`, and has a further input
    ``place`` `(1, 2, H, W)` that says which, see `a2a.networks.plain.places`; and ``adjacent`` `(B, 2 n, H, W)` if it
    looks at the slices below and above, see `Prior.beside`.

    Parameters
    ----------
    prior
        The prior.
    path
        The file.
    half
        Store the weights at half precision; they are used at single precision.

    Raises
    ------
    InputError
        If the extra ``[onnx]`` is not installed, or the prior learned several data sets.
    """
    if prior.datasets:
        raise InputError("engine: a prior that learned several data sets is not exported; take the engine torch.")
    onnx = _package("onnx")
    _package("onnxscript")
    n, size, network = len(prior.spec), prior.size, prior.network.cpu().eval()
    linear = prior.linear and prior.linear.to(torch.empty(0))
    estimate = _Estimate(network, Target(prior.schedule, prior.predicts, linear)).eval()
    signal, spread = (
        torch.full((1, n, 1, 1), 0.6),
        torch.full((1, n, 1, 1), 0.8),
    )  # not one tensor
    example = [torch.zeros(2, n, size, size), torch.full((1, _levels(prior)), 500.0), signal, spread]
    names, shapes = ["x", "times", "signal", "spread"], [{0: torch.export.Dim("rows", min=1, max=4096)}, {}, {}, {}]
    if _takes_parts(prior):
        names.append("place")
        example.append(places(size, size)[None])
        shapes[0] |= (sides := _sides(prior))
        shapes.append(sides)
    if _looks_beside(prior):
        names.append("adjacent")
        example.append(torch.zeros(2, SIDES * n, size, size))
        shapes.append(dict(shapes[0]))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about names of axes and its own parts
        program = torch.onnx.export(
            estimate, tuple(example), dynamo=True, opset_version=_OPSET, verbose=False, input_names=names,
            output_names=["x0"], dynamic_shapes=tuple(shapes),
        )  # fmt: skip
    assert program is not None  # it is with dynamo
    model = program.model_proto
    if half:
        _store_at_half_precision(model)
    model.metadata_props.add(key=_DIGEST, value=prior.digest)
    onnx.save(model, str(path))


def _takes_parts(prior: Prior) -> bool:
    """Whether the network may be shown parts of slices: a plain one, with an estimate that is the same everywhere."""
    return isinstance(prior.network, PlainUNet) and (prior.linear is None or prior.linear.pooled)


def _looks_beside(prior: Prior) -> bool:
    """Whether the network looks at the slices below and above."""
    return isinstance(prior.network, PlainUNet) and prior.network.config.adjacent


def _sides(prior: Prior) -> dict[int, Any]:
    """Rows and columns of a part: multiples of the stride of the network, up to the whole slice."""
    stride = prior.network.config.stride
    sides = (torch.export.Dim(f"{name}_in_strides", min=1, max=prior.size // stride) for name in ("rows", "columns"))
    return {axis: stride * side for axis, side in zip((2, 3), sides, strict=True)}


def _store_at_half_precision(model: "onnx.ModelProto") -> None:
    """Replace large tables of single precision by such of half precision, each followed by a cast."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for table in model.graph.initializer:
        values = numpy_helper.to_array(table)
        if values.dtype == np.float32 and values.size >= _SMALL:
            name, stored = table.name, f"{table.name}_half"
            table.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            casts.append(helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)


@dataclass(frozen=True, eq=False)
class OnnxPrior:
    """A prior whose clean estimates ONNX Runtime computes; a `a2a.prior.denoiser.Denoiser` without gradients.

    Parameters
    ----------
    prior
        The prior; everything but the network is its own.
    path
        What `export_onnx` wrote of it.
    threads
        Threads of one evaluation.
    checked
        Whether its file was found to be that of the prior.

    Raises
    ------
    InputError
        If the extra ``[onnx]`` is not installed, the file is of other weights, or its estimates differ from those of
        the prior by more than 1e-4.
    """

    prior: Prior
    path: Path
    threads: int = 1
    checked: bool = False

    def __post_init__(self) -> None:
        if self.checked:
            return
        found = self._session.get_modelmeta().custom_metadata_map.get(_DIGEST)
        if found != self.prior.digest:
            raise InputError(f"{self.path}: it was exported from other weights; export it again.")
        if (error := self._error()) > TOLERANCE:
            found = f"{self.path}: its estimates differ from those of the prior by {error:.1g}"
            raise InputError(f"{found}; export it again.")

    @classmethod
    def of(cls, prior: Prior, threads: int = 1) -> "OnnxPrior":
        """Export a prior to a temporary file and open it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "prior.onnx")
            export_onnx(prior, path)
            return cls(prior, path, threads)

    @classmethod
    def at(cls, prior: Prior, path: Path, threads: int = 1) -> "OnnxPrior":
        """Open a file, which is exported first if it is not there.

        Parameters
        ----------
        prior, path, threads
            See the class.
        """
        if not path.exists():
            export_onnx(prior, path)
        return cls(prior, path, threads)

    def within(self, mask: Tensor) -> "OnnxPrior":
        """Return the same prior that looks only where it matters, see `Prior.within`."""
        return self._of(self.prior.within(mask)) if _takes_parts(self.prior) else self

    def beside(self, adjacent: Adjacent) -> "OnnxPrior":
        """Return the prior of some slices, which is shown those below and above, see `Prior.beside`."""
        return self._of(self.prior.beside(adjacent))

    def _of(self, prior: Prior) -> "OnnxPrior":
        """The same file for a prior that looks elsewhere."""
        seen = replace(self, prior=prior, checked=True)
        seen.__dict__["_session"] = self._session
        return seen

    @cached_property
    def _session(self) -> "onnxruntime.InferenceSession":
        runtime = _package("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        try:
            return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes have no common base of their own
            fault = str(error)[:100]
            raise InputError(f"{self.path}: ONNX Runtime cannot read it ({fault}); export it again.") from None

    def _error(self) -> float:
        """Largest difference of the two clean estimates of noise and of a diffused ramp, at four times."""
        n, size = len(self.prior.spec), self.prior.size
        noise = torch.randn((1, n, size, size), generator=torch.Generator().manual_seed(0))
        ramp = torch.linspace(-1, 1, size).expand_as(noise)  # nothing flat: normalisation divides by its spread
        times = [round(share * (self.prior.schedule.length - 1)) for share in _CHECKED_AT]
        found = []
        with torch.no_grad():
            for t in times:
                x = torch.cat([noise, self.schedule.diffuse(ramp, torch.tensor([t]), noise)])
                found.append(float((self.predict(x, t) - self.prior.predict(x, t)).abs().max()))
        return max(found)

    @property
    def spec(self) -> StackSpec:
        """See `Prior`."""
        return self.prior.spec

    @property
    def schedule(self) -> NoiseSchedule:
        """See `Prior`."""
        return self.prior.schedule

    @property
    def noise_levels(self) -> Literal["joint", "per-modality"]:
        """See `Prior`."""
        return self.prior.noise_levels

    @property
    def size(self) -> int:
        """See `Prior`."""
        return self.prior.size

    @property
    def card(self) -> dict[str, Any]:
        """See `Prior`."""
        return self.prior.card

    @property
    def digest(self) -> str:
        """See `Prior`."""
        return self.prior.digest

    @property
    def digest_with_expert(self) -> str:
        """See `Prior`."""
        return self.prior.digest_with_expert

    @property
    def like(self) -> Tensor:
        """Empty float32 tensor on the processor."""
        return torch.empty(0)

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the clean estimate, see `Prior.predict`.

        Raises
        ------
        InputError
            If `x` needs a gradient: ONNX Runtime has none.
        """
        if x.requires_grad:
            raise InputError("engine: ONNX Runtime computes no gradients; take the sampler mds, or the engine torch.")
        if self.prior.expert is not None and self.prior.expert.answers(t):
            return self.prior.predict(x, t)
        each: Sequence[int] = [t] * len(self.spec) if isinstance(t, int) else list(t)
        signal, spread = (torch.as_tensor(value).numpy() for value in self.schedule.coefficients(each, x))
        times = np.asarray([each], np.float32)[:, : _levels(self.prior)]
        fed = {"times": times, "signal": signal, "spread": spread}
        rows, columns = self.prior.window or (slice(None), slice(None))
        fed |= {"place": self._places[:, :, rows, columns]} if _takes_parts(self.prior) else {}
        if _looks_beside(self.prior):
            beside = self.prior.adjacent
            beside = x.new_zeros(len(x), SIDES * x.shape[1], *x.shape[2:]) if beside is None else beside
            fed["adjacent"] = np.ascontiguousarray(beside.numpy()[:, :, rows, columns])
        (x0,) = self._session.run(["x0"], fed | {"x": np.ascontiguousarray(x.numpy()[:, :, rows, columns])})
        if self.prior.window is not None:
            part, x0 = x0, np.zeros(x.shape, np.float32)
            x0[:, :, rows, columns] = part
        return self.prior.shrunk(torch.from_numpy(x0), x, t)

    @cached_property
    def _places(self) -> np.ndarray:
        return places(self.prior.size, self.prior.size)[None].numpy()

    def variance(self, t: int) -> Tensor:
        """See `Prior`."""
        return self.prior.variance(t)

    def error_covariance(self, t: int) -> Tensor:
        """See `Prior`."""
        return self.prior.error_covariance(t)

    def clamp(self, x: Tensor) -> Tensor:
        """See `Prior`."""
        return self.prior.clamp(x)


def _levels(prior: Prior) -> int:
    """How many times the network is told."""
    return 1 if prior.noise_levels == "joint" else len(prior.spec)


def _package(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise InputError(f"The package {name} is not installed; install it with: pip install 'a2a[onnx]'.") from None
