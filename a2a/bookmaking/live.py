"""What the page "Try it" needs to run MDS in the reader's browser: ONNX Runtime, the network and some slices.

Browsers do not read files beside a page that was opened from disk, but run scripts that lie there; so everything is a
script that registers what it holds in the object ``A2A_LIVE``.
"""

import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pooch

from a2a.common.errors import Failure, InputError
from a2a.common.files import write_atomically, write_text
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore, Split
from a2a.forward.undersampling import Undersampling
from a2a.prior.engine import export_onnx
from a2a.prior.load import load_prior
from a2a.prior.prior import Prior

CARD, PRIOR = "phantom-any2all", "phantom-any2all-64"
ACCELERATIONS = (2, 4, 8)
STEPS, SPACING = 10, 1.25
SLICES = 12
RUNTIME, RUNTIME_SHA256 = "onnxruntime-web@1.30.0", "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_SCRIPT, _GLUE, _WASM = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"


def add_live(folder: Path, root: Path, report: Callable[[str], None]) -> None:
    """Write what the page needs, with the shipped prior and the test slices of its phantom.

    Parameters
    ----------
    folder
        Where the sources of the page already are.
    root
        Root of the repository, under which prepared slices lie.
    report
        See `write_live`.
    """
    store = root / "runs" / "data" / f"{PRIOR}-ci"
    prepare(CARD, store, profile="ci", workers=os.cpu_count() or 1, overwrite=True)
    write_live(folder, load_prior(PRIOR), SliceStore.open(store).split("test"), report)


def write_live(folder: Path, prior: Prior, split: Split, report: Callable[[str], None]) -> None:
    """Write the scripts ``runtime.js``, ``model.js`` and ``stacks.js``, or say what is missing and write nothing.

    Parameters
    ----------
    folder
        Where they go; it is made.
    prior
        The prior; it must have a noise level for each modality.
    split
        The slices that the reader can choose from, of which twelve are taken.
    report
        Receives a line where the page will not run.
    """
    try:
        scripts = {"model.js": _model(prior), "runtime.js": _runtime()}
    except (InputError, Failure) as error:
        report(f"live page: it will say that the network is missing; {error}")
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in scripts.items():
        shutil.copyfile(path, folder / name)
    write_text(folder / "stacks.js", stacks_script(prior, split))


def stacks_script(prior: Prior, split: Split) -> str:
    """Return the script with some slices as bytes, and with all that the sampler must know of the prior.

    Parameters
    ----------
    prior
        See `write_live`.
    split
        Slices of its size.
    """
    if prior.noise_levels == "joint":
        raise InputError("live page: its sampler needs a prior with a noise level for each modality.")
    chosen = np.linspace(0, len(split.images) - 1, SLICES + 2)[1:-1].astype(int)
    images = np.rint(255 * np.clip(split.images[chosen].astype(np.float32), 0, 1)).astype(np.uint8)
    acquired = Undersampling()
    told = {
        "modalities": prior.spec.names,
        "size": prior.size,
        "abar": [prior.schedule.abar(t) for t in range(prior.schedule.length)],
        "transitions": prior.schedule.transitions(STEPS, SPACING),
        "accelerations": ACCELERATIONS,
        "coils": acquired.coils,
        "radius": acquired.radius,
        "noise_std": acquired.noise_std,
    }
    held = {"prior": told, "subjects": [str(split.subjects[k]) for k in chosen], "images": _base64(images.tobytes())}
    return f"A2A_LIVE.stacks = {json.dumps(held)};\n"


def _model(prior: Prior) -> Path:
    """Return the script with the network, made once for the same weights."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            export_onnx(prior, Path(place, "prior.onnx"), half=True)
            packed = gzip.compress(Path(place, "prior.onnx").read_bytes(), 9, mtime=0)
        path.write_text(f'A2A_LIVE.model = "{_base64(packed)}";\n', encoding="ascii")

    return _cached(f"model-{prior.digest[:16]}.js", make)


def _runtime() -> Path:
    """Return the script with ONNX Runtime for browsers, of the package `RUNTIME`, which npm fetches once."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            archive = _packed(Path(place))
            with tarfile.open(archive) as package:
                script, glue, wasm = (
                    package.extractfile(f"package/dist/{name}").read() for name in (_SCRIPT, _GLUE, _WASM)
                )
        parts = [
            script.decode(),
            f"A2A_LIVE.glue = {json.dumps(glue.decode())};",
            f'A2A_LIVE.wasm = "{_base64(gzip.compress(wasm, 9, mtime=0))}";',
        ]
        path.write_text("\n".join(parts) + "\n", encoding="utf-8")

    return _cached(f"runtime-{RUNTIME_SHA256[:16]}.js", make)


def _packed(folder: Path) -> Path:
    """Let npm fetch the package as an archive, and compare its checksum."""
    npm = shutil.which("npm")
    if npm is None:
        raise Failure(f"npm, which fetches {RUNTIME}, is not installed.")
    done = subprocess.run([npm, "pack", RUNTIME, "--silent"], cwd=folder, capture_output=True, text=True)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:120]
        raise Failure(f"npm could not fetch {RUNTIME} ({reason}).")
    if hashlib.sha256(archives[0].read_bytes()).hexdigest() != RUNTIME_SHA256:
        raise Failure(f"What npm fetched as {RUNTIME} has not the SHA-256 that is expected, and is not used.")
    return archives[0]


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    path = Path(pooch.os_cache("a2a")) / "live" / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, make)
    return path


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
