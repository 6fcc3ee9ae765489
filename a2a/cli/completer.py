"""What ``a2a complete`` completes with: weights, their options, precision and engine."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2a.common.errors import InputError

if TYPE_CHECKING:
    from a2a.forward.observation import Observation
    from a2a.methods.interface import Method
    from a2a.prior.engine import OnnxPrior
    from a2a.prior.prior import Prior


def check_engine(engine: str, prior: str | None, sampler: str, precision: str) -> None:
    """Refuse an engine that does not go with the other options, before anything heavy is imported.

    Parameters
    ----------
    engine, prior, sampler, precision
        See `complete`.

    Raises
    ------
    InputError
        Naming the options that do not go together.
    """
    if engine == "torch":
        return
    if engine != "onnx" and not engine.endswith(".onnx"):
        raise InputError(f"--engine {engine}: it is none of torch, onnx, or a file ending in .onnx.")
    if prior is None:
        raise InputError("--engine is for --prior; leave it out.")
    if sampler != "mds":
        raise InputError(
            f"--engine {engine} is for --sampler mds: {sampler} needs gradients, which only torch computes."
        )
    if precision != "float32":
        raise InputError(f"--engine {engine} computes in float32; leave --precision {precision} out.")
    if engine != "onnx" and not (path := Path(engine)).is_file() and (path.exists() or not path.parent.is_dir()):
        raise InputError(f"--engine {engine}: no file can be written there; name one in a folder that exists.")


def at_quality(completes: "Method", quality: str | None) -> tuple["Method", int]:
    """Give a method the options that a word stands for, and say how many samples belong to it.

    Parameters
    ----------
    completes
        What completes; its named options stay.
    quality
        See `a2a.methods.quality.QUALITIES`; None changes nothing.

    Raises
    ------
    InputError
        If there is no such quality, or it is not for this method or sampler.
    """
    from a2a.methods.interface import Any2all
    from a2a.methods.quality import settings

    if quality is None:
        return completes, 4
    if not isinstance(completes, Any2all) or completes.sampler != "mds":
        raise InputError("--quality is for --prior with --sampler mds; leave it out.")
    options, samples = settings(quality, completes.prior, completes.options)
    return replace(completes, options=options), samples


def in_precision(completes: "Method", precision: str, observation: "Observation") -> "Method":
    """Let a prior compute as asked for; ``auto`` takes bf16 if a trial took at most half the time of float32.

    Parameters
    ----------
    completes
        What completes.
    precision
        ``float32``, ``bf16`` or ``auto``.
    observation
        Whose slices are tried.

    Raises
    ------
    InputError
        If there is no such precision, or the method is no prior.
    """
    from a2a.common.progress import remark
    from a2a.methods.interface import Any2all
    from a2a.methods.quality import estimated_seconds

    if precision not in ("float32", "bf16", "auto"):
        raise InputError(f"--precision {precision}: it is none of float32, bf16, auto.")
    if precision == "float32":
        return completes
    if not isinstance(completes, Any2all):
        raise InputError("--precision is for --prior; leave it out.")
    half = replace(completes, prior=replace(completes.prior, bf16=True))
    if precision == "bf16":
        return half
    slow, fast = (min(estimated_seconds(each, observation, 1) for _ in range(2)) for each in (completes, half))
    chosen = fast <= slow / 2
    said = "so it computes in" if chosen else "so it stays in float32, not"
    remark(f"bf16 takes {fast / slow:.0%} of the time of float32 here, {said} bf16")
    return half if chosen else completes


def load_completer(
    prior: Path | None,
    method: str | None,
    weights: Path | None,
    sampler: str,
    options: dict[str, Any],
    batch: int | None,
    checkpointing: bool,
    engine: str = "torch",
) -> "Method":
    """Load what the options of the command name, onto a GPU where there is one.

    Parameters
    ----------
    prior, method, weights, sampler, batch, checkpointing, engine
        See `complete`; either `prior` or `method` is None.
    options
        Of the sampler.

    Raises
    ------
    InputError
        If the weights cannot be used, or an option is not one of a compared method.
    """
    import torch

    from a2a.methods.interface import Any2all
    from a2a.methods.quality import rows_at_once
    from a2a.methods.registry import load_method
    from a2a.prior.prior import Prior

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if prior is not None:
        if weights is not None:
            raise InputError("--weights is for --method; name the weights of a prior with --prior.")
        trained = Prior.load(prior)
        if engine != "torch":
            return Any2all(_with_onnx(trained, engine), sampler, options, batch or rows_at_once(trained.size))
        trained.to(device)
        if checkpointing:
            if not hasattr(trained.network, "checkpointing"):
                raise InputError("--checkpointing is for networks with attention; leave it out, this one is small.")
            trained.network.checkpointing = True
        return Any2all(trained, sampler, options, batch or rows_at_once(trained.size))
    if options or checkpointing:
        wrong = f"--{next(iter(options))}".replace("_", "-") if options else "--checkpointing"
        raise InputError(f"{wrong} is for --prior, not for {method}.")
    found = load_method(method, weights)
    if isinstance(network := getattr(found, "network", None), torch.nn.Module):
        network.to(device)
        return replace(found, batch=batch or rows_at_once(found.size))
    return found


def _with_onnx(prior: "Prior", engine: str) -> "OnnxPrior":
    """Return the prior in ONNX Runtime, from a file or exported now."""
    import torch

    from a2a.common.progress import remark
    from a2a.prior.engine import OnnxPrior

    threads, path = torch.get_num_threads(), None if engine == "onnx" else Path(engine)
    if path is None or not path.exists():
        remark("exporting the prior for ONNX Runtime takes up to a minute; --engine FILE.onnx keeps it")
    return OnnxPrior.of(prior, threads) if path is None else OnnxPrior.at(prior, path, threads)
