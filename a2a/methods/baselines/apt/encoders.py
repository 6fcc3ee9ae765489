"""What describes an image of one contrast by a vector: BiomedCLIP as published, or a small network of our own.

The small one is trained on the training split by a2a's own recipe, and results with it are "APT-like": the paper's
vision encoder has seen 15 million figures of the biomedical literature. Explained in the chapter "APT".
"""

from pathlib import Path
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from torch import Tensor, nn

from a2a.common.documents import read_bytes
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.networks.vit import VisionTransformer, ViTSize
from a2a.prior.weights import LARGEST
from a2a.training.config import Count, Width

VISION = "visual."  # what open_clip calls the part that sees


class _Size(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SmallSize(_Size):
    """Size of a `SmallEncoder`: channels of its levels, each half as large as the one before, and numbers it gives."""

    kind: Literal["small"] = "small"
    widths: tuple[Width, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    dims: Width = 128


class BiomedCLIPSize(_Size):
    """Size of a vision transformer, see `a2a.networks.vit.ViTSize`; the defaults are BiomedCLIP's."""

    kind: Literal["biomedclip"] = "biomedclip"
    width: Width = 768
    depth: Count = 12
    heads: Count = 12
    patch: Count = 16
    image: int = Field(224, ge=1, le=4096)
    dims: Width = 512


EncoderSize = Annotated[SmallSize | BiomedCLIPSize, Field(discriminator="kind")]


class SmallEncoder(nn.Module):
    """Describes images ``(b, 1, H, W)`` in [-1, 1] by ``(b, dims)``."""

    def __init__(self, size: SmallSize):
        super().__init__()
        pairs = zip((1, *size.widths[:-1]), size.widths, strict=True)
        self.levels = nn.Sequential(*(_level(inside, outside) for inside, outside in pairs))
        self.head = nn.Linear(size.widths[-1], size.dims)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.levels(images).mean(dim=(2, 3)))


def _level(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride=2, padding=1), nn.GroupNorm(1, outside), nn.SiLU())


class BiomedCLIP(nn.Module):
    """BiomedCLIP's vision encoder as APT uses it: images ``(b, 1, H, W)`` in [-1, 1] become ``(b, dims)``.

    Each is repeated to three channels and resized bilinearly; the encoder's own mean and deviation are not used, as in
    the authors' code.
    """

    def __init__(self, size: BiomedCLIPSize):
        super().__init__()
        self.visual = VisionTransformer(ViTSize(**size.model_dump(exclude={"kind"})))

    def forward(self, images: Tensor) -> Tensor:
        side = self.visual.size.image
        large = F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
        return self.visual(large.expand(-1, 3, -1, -1))


def make_encoder(size: SmallSize | BiomedCLIPSize) -> nn.Module:
    """Make an encoder of a size; it maps images ``(b, 1, H, W)`` in [-1, 1] to ``(b, dims)``."""
    return SmallEncoder(size) if isinstance(size, SmallSize) else BiomedCLIP(size)


def read_biomedclip(path: Path, size: BiomedCLIPSize) -> BiomedCLIP:
    """Read the vision encoder from the weights of BiomedCLIP, the tensors of open_clip in a .safetensors file.

    Parameters
    ----------
    path
        The file; what it holds of the text encoder is left alone.
    size
        What the encoder must be.

    Raises
    ------
    InputError
        If the file is missing, not safetensors, lacks a tensor, or has one of another shape.
    """
    if not path.is_file() or path.suffix != ".safetensors":
        raise InputError(f"{path}: no such .safetensors file; convert the weights of BiomedCLIP with safetensors.")
    try:
        tensors = from_bytes(read_bytes(path, LARGEST))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{path}: corrupt or not a safetensors file ({shown(str(error), 100)}).") from error
    encoder = BiomedCLIP(size)
    for name, wanted in encoder.state_dict().items():
        if name not in tensors:
            raise InputError(f"{path}: lacks {name}; it must hold the vision encoder of BiomedCLIP ({VISION}...).")
        if tensors[name].shape != wanted.shape:
            found = tuple(tensors[name].shape)
            raise InputError(f"{path}: {name} is {found}, but the encoder of the recipe needs {tuple(wanted.shape)}.")
    encoder.load_state_dict({name: tensors[name].float() for name in encoder.state_dict()})
    return encoder
