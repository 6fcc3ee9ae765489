"""FID and KID: distances of Inception features, through torchmetrics or torch-fidelity.

They need a file of weights (91 MiB) that this project does not ship and never downloads; the book and the tests do
without. The network saw photographs, and the resizing alone moves the value (torch-fidelity resizes as TensorFlow 1
did, torchmetrics smooths first unless told not to), so values are compared within one run only.
`a2a.evaluation.radiomics` is the distance without weights. Explained in the chapter "Unconditional samples".
"""

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import Dataset

from a2a.common._torchvision import ensure_torchvision
from a2a.common.errors import InputError

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SOURCE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/" + WEIGHTS
LAYERS = (64, 192, 768, 2048)
LIBRARIES = ("torchmetrics", "torch-fidelity")
SUBSETS, SUBSET_SIZE = 100, 1000
_BATCH = 32


def inception_weights(path: Path | str | None = None, sha256: str = SHA256) -> Path:
    """Find the Inception weights and check that they are the right ones.

    Parameters
    ----------
    path
        The file; by default `WEIGHTS` in PyTorch's cache (``$TORCH_HOME/hub/checkpoints``).
    sha256
        Checksum that the file must have. The libraries read the file as a pickle, which can run code, so no file with
        another checksum is handed to them.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If there is no such file, or its checksum differs.
    """
    file = Path(path) if path is not None else Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS
    if not file.is_file():
        raise InputError(
            f"{file}: no Inception weights, which FID and KID need; download {SOURCE} to this place "
            "(or use the radiomic distance, which needs none)."
        )
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise InputError(f"{file}: its SHA-256 starts with {found[:8]}, not {sha256[:8]}; fetch {SOURCE} again.")
    return file


def inception_distances(
    real: ArrayLike | Tensor,
    generated: ArrayLike | Tensor,
    weights: Path | str | None = None,
    library: str = "torchmetrics",
    layer: int = 2048,
    seed: int = 0,
    sha256: str = SHA256,
) -> dict[str, object]:
    """FID and KID of two sets of images of one modality.

    Parameters
    ----------
    real, generated
        Shapes (N, H, W) and (M, H, W), image units [0, 1] by the data set's normalisation, at least two each; clipped,
        times 255, rounded, and given to the three colours.
    weights, sha256
        See `inception_weights`.
    library
        ``"torchmetrics"`` (without antialiasing, as torch-fidelity resizes; features in float64) or
        ``"torch-fidelity"``.
    layer
        Features: 2048 is FID proper. 64, 192 and 768 are earlier layers, for few images; they are not called FID
        without this number.
    seed
        Of the subsets of KID.

    Returns
    -------
    dict
        ``fid``; ``kid`` and ``kid_sd``, mean and standard deviation over 100 subsets of at most 1000 images (the
        subsets overlap: ``kid_sd`` is no standard error); ``layer, real, generated, library, version``. With fewer
        images than features the covariance is singular and FID mostly bias: see `a2a.evaluation.finite_sample`.

    Raises
    ------
    InputError
        If the weights are not there or wrong, torch-fidelity is not installed, an option is unknown, or the images
        are not finite (N, H, W).
    """
    if library not in LIBRARIES:
        raise InputError(f"inception_distances: library must be {' or '.join(LIBRARIES)}, got {library!r}.")
    if layer not in LAYERS:
        raise InputError(f"inception_distances: layer must be one of {', '.join(map(str, LAYERS))}, got {layer}.")
    x, y = _bytes(real, "real"), _bytes(generated, "generated")
    file = inception_weights(weights, sha256)
    if find_spec("torch_fidelity") is None:
        raise InputError("FID and KID need torch-fidelity, which is not installed: pip install -e '.[fid]'.")
    ensure_torchvision()
    size = min(SUBSET_SIZE, len(x), len(y))
    measure = _by_torchmetrics if library == "torchmetrics" else _by_torch_fidelity
    with torch.random.fork_rng(devices=[]):  # the libraries draw from the global generator
        torch.manual_seed(seed)
        numbers = measure(x, y, file, layer, size, seed)
    counts = {"layer": layer, "real": len(x), "generated": len(y)}
    return numbers | counts | {"library": library, "version": version(library)}


class _Colour(Dataset):
    """Grey bytes (N, H, W) as three colours, one image at a time."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Tensor:
        return self.images[row].expand(3, -1, -1)


def _by_torchmetrics(x: Tensor, y: Tensor, file: Path, layer: int, size: int, seed: int) -> dict[str, float]:
    """Both metrics see one pass of the network: its features are given to them as if they were images."""
    # Here rather than at the top: the imports take seconds and most evaluations need no Inception.
    from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
    from torchmetrics.image.kid import KernelInceptionDistance

    network = NoTrainInceptionV3("inception-v3-compat", [str(layer)], str(file), antialias=False).double()
    network._dtype = torch.float64
    passed = torch.nn.Flatten()
    passed.num_features = layer
    fid = FrechetInceptionDistance(feature=passed).set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=passed, subsets=SUBSETS, subset_size=size).set_dtype(torch.float64)
    for images, real in ((x, True), (y, False)):
        for features in _features(network, images):
            fid.update(features, real=real)
            kid.update(features, real=real)
    torch.manual_seed(seed)
    mean, sd = kid.compute()
    return {"fid": float(fid.compute()), "kid": float(mean), "kid_sd": float(sd)}


@torch.no_grad()
def _features(network: torch.nn.Module, images: Tensor) -> Iterator[Tensor]:
    for part in images.split(_BATCH):
        yield network(part[:, None].expand(-1, 3, -1, -1))


def _by_torch_fidelity(x: Tensor, y: Tensor, file: Path, layer: int, size: int, seed: int) -> dict[str, float]:
    import torch_fidelity

    found = torch_fidelity.calculate_metrics(
        input1=_Colour(x),
        input2=_Colour(y),
        fid=True,
        kid=True,
        feature_layer_fid=str(layer),
        feature_layer_kid=str(layer),
        kid_subsets=SUBSETS,
        kid_subset_size=size,
        feature_extractor_weights_path=str(file),
        feature_extractor_internal_dtype="float64",
        rng_seed=seed,
        batch_size=_BATCH,
        cuda=torch.cuda.is_available(),
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    names = {
        "fid": "frechet_inception_distance",
        "kid": "kernel_inception_distance_mean",
        "kid_sd": "kernel_inception_distance_std",
    }
    return {short: float(found[name]) for short, name in names.items()}


def _bytes(images: ArrayLike | Tensor, name: str) -> Tensor:
    array = np.asarray(images.detach().cpu() if isinstance(images, Tensor) else images, np.float64)
    if array.ndim != 3 or len(array) < 2:
        raise InputError(f"The {name} images must be (N, H, W) with N >= 2, got {array.shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"The {name} images have NaN or infinite values.")
    return torch.from_numpy(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8))
