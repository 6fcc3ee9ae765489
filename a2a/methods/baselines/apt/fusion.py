r"""Mutual information fusion: one anatomical vector z of any contrasts of a head (Shin et al. 2025, section 3.1).

Its loss is the anatomical consistency loss: z of all contrasts must be found again from all but one. Explained in the
chapter "APT".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.common.units import to_model
from a2a.forward.stack import StackSpec
from a2a.methods.baselines.apt.encoders import BiomedCLIPSize, EncoderSize, SmallSize, make_encoder, read_biomedclip
from a2a.methods.baselines.base import write_weights
from a2a.prior.weights import Description, filled, read_weights
from a2a.training.batches import augment
from a2a.training.config import Augmentation, Count, TrainConfig, Width
from a2a.training.objective import Objective

DROPPED = 5  # purpose of a random stream, part of the key
SLICES = 128
VIEWS = Augmentation(flip=0.0, rotate=4.0, scale=0.04, shift=0.02, gain=0.1, gamma=0.1)
"""How the second view of an image differs, from which the small encoder must know it again."""
SHARPNESS = 10.0  # of its comparison of views: similarities are multiplied with it


class FusionConfig(TrainConfig):
    """Training of the fusion, before APT itself; the defaults are the published size and optimiser.

    Parameters
    ----------
    encoder
        ``biomedclip`` as published, which is frozen and read from `start`, or ``small``, which learns in the same run
        to know an image again from another view of it; the fusion moves neither.
    start
        Weights of BiomedCLIP, .safetensors.
    heads, hidden
        Of the fusion's attention, and channels of its feed-forward layer.
    weight_decay
        Of the optimiser.
    """

    method: Literal["apt-fusion"] = "apt-fusion"
    encoder: EncoderSize
    start: Path | None = None
    heads: Count = 8
    hidden: Width = 2048
    weight_decay: float = Field(0.2, ge=0)
    batch: int = Field(512, ge=2)
    lr: float = Field(5e-5, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _readable(self) -> "FusionConfig":
        if (self.encoder.kind == "biomedclip") != (self.start is not None):
            raise ValueError("start: name the weights of BiomedCLIP for encoder biomedclip, and none for small")
        if self.encoder.dims % self.heads:
            raise ValueError(f"heads: {self.heads} cannot share the {self.encoder.dims} numbers of the encoder")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights of the encoder."""
        return (self.start,) if self.start else ()


class Fusion(nn.Module):
    """Anatomical vector of stacks.

    Parameters
    ----------
    encoder
        Size of the encoder.
    heads, hidden
        See `FusionConfig`.

    Notes
    -----
    One token for each contrast, without positions, through one post-norm transformer layer; their mean through a linear
    layer, of length 1. z does not depend on the order of the contrasts, and is defined for any number of them.
    """

    encoder: nn.Module

    def __init__(self, encoder: SmallSize | BiomedCLIPSize, heads: int, hidden: int):
        super().__init__()
        self.encoder, dims = make_encoder(encoder), encoder.dims
        self.layer = nn.TransformerEncoderLayer(dims, heads, hidden, dropout=0.0, activation="gelu", batch_first=True)
        self.out = nn.Linear(dims, dims)
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def tokens(self, stack: Tensor) -> Tensor:
        """Describe each contrast of stacks ``(b, n, H, W)`` in [-1, 1]: ``(b, n, dims)``."""
        return self.encoder(stack.flatten(0, 1)[:, None]).unflatten(0, stack.shape[:2])

    def fuse(self, tokens: Tensor, given: Tensor) -> Tensor:
        """Return z, ``(b, dims)`` of length 1.

        Parameters
        ----------
        tokens
            ``(b, n, dims)``.
        given
            Which of them count, bool ``(b, n)``, at least one in each row.
        """
        seen = self.layer(tokens, src_key_padding_mask=~given)
        count = given[:, :, None].to(seen.dtype)
        return F.normalize(self.out(torch.where(given[:, :, None], seen, 0.0).sum(dim=1) / count.sum(dim=1)), dim=-1)

    def forward(self, stack: Tensor, given: Tensor) -> Tensor:
        """Return z of the given contrasts of stacks ``(b, n, H, W)`` in [-1, 1]; the others may hold anything."""
        return self.fuse(self.tokens(stack), given)


def contrastive(one: Tensor, other: Tensor, sharpness: Tensor | float) -> Tensor:
    """Symmetric cross-entropy of finding row i of one in row i of the other (Radford et al. 2021).

    The paper prints one direction; the authors' code has both. Equal vectors in all rows cost log B.

    Parameters
    ----------
    one, other
        ``(B, dims)`` of length 1.
    sharpness
        Reciprocal temperature.
    """
    similarity, row = sharpness * one @ other.T, torch.arange(len(one), device=one.device)
    return (F.cross_entropy(similarity, row) + F.cross_entropy(similarity.T, row)) / 2


@dataclass(frozen=True, eq=False)
class FusionObjective(Objective):
    """The anatomical consistency loss, and beside it, where the encoder is small, that of knowing an image again."""

    config: FusionConfig
    file = "fusion.safetensors"

    def networks(self) -> dict[str, nn.Module]:
        """Make the fusion, with the encoder that the configuration names."""
        config = self.config
        fusion = Fusion(config.encoder, config.heads, config.hidden)
        if config.start and isinstance(config.encoder, BiomedCLIPSize):
            fusion.encoder = read_biomedclip(config.start, config.encoder)
        return {self.product: fusion}

    def optimiser(self, network: nn.Module) -> torch.optim.Optimizer:
        """Adam with decay, as the authors do; a BiomedCLIP stays as it is."""
        frozen = cast(Fusion, network).encoder if self.config.start else nn.Module()
        parameters = [p for p in network.parameters() if all(p is not q for q in frozen.parameters())]
        decay = self.config.weight_decay
        return torch.optim.AdamW(parameters, self.config.lr, (0.9, 0.98), 1e-6, weight_decay=decay, fused=True)

    def inputs(self, clean: Tensor, draws: list[torch.Generator], step: int) -> tuple[Tensor, ...]:
        """Return stacks, other views of them, and which contrasts count, the same for all slices of a step."""
        dropped = int(torch.randint(clean.shape[1], (), generator=generator(self.config.seed, DROPPED, step)))
        given = torch.ones(clean.shape[:2], dtype=torch.bool)
        given[:, dropped] = False
        views = torch.stack([augment(image, VIEWS, draw) for image, draw in zip(clean, draws, strict=True)])
        return to_model(clean), to_model(views), given

    def loss(self, name: str, networks: Mapping[str, nn.Module], inputs: tuple[Tensor, ...]) -> Tensor:
        """Return the sum of both."""
        fusion, (stack, views, given) = cast(Fusion, networks[name]), inputs
        if self.config.start:
            with torch.no_grad():
                tokens = fusion.tokens(stack)
            return consistency(fusion, tokens, given)
        tokens = fusion.tokens(stack)
        one, other = (F.normalize(each.float().flatten(0, 1), dim=-1) for each in (tokens, fusion.tokens(views)))
        return consistency(fusion, tokens.detach(), given) + contrastive(one, other, SHARPNESS)

    @torch.no_grad()
    def validation(self, network: nn.Module) -> float:
        """Return the anatomical consistency loss of at most 128 slices, each contrast left out in turn."""
        fusion, images = cast(Fusion, network), self.store.split("val").images
        rows = np.unique(np.linspace(0, len(images) - 1, min(SLICES, len(images))).round().astype(int))
        stack = to_model(torch.from_numpy(np.asarray(images[rows], np.float32)))
        tokens, losses = fusion.tokens(stack.to(next(network.parameters()).device)), []
        for dropped in range(stack.shape[1]):
            given = torch.ones(stack.shape[:2], dtype=torch.bool, device=tokens.device)
            given[:, dropped] = False
            losses.append(float(consistency(fusion, tokens, given)))
        return sum(losses) / len(losses)

    def finished(self, network: nn.Module, card: dict[str, Any]) -> "TrainedFusion":
        """Wrap the network."""
        return TrainedFusion(cast(Fusion, network.eval()), self.config, self.store.spec, self.store.size, card)


def consistency(fusion: Fusion, tokens: Tensor, given: Tensor) -> Tensor:
    """Anatomical consistency loss: z of all contrasts against z of the given ones (Shin et al. 2025, Eq. 1).

    Parameters
    ----------
    fusion
        The network.
    tokens
        Of B stacks, ``(B, n, dims)``.
    given
        Bool ``(B, n)``.
    """
    every, some = fusion.fuse(tokens, torch.ones_like(given)), fusion.fuse(tokens, given)
    return contrastive(every.float(), some.float(), fusion.log_sharpness.exp())


class FusionDescription(Description):
    """What the JSON beside the weights of a fusion says."""

    component: Literal["apt-fusion"]
    config: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TrainedFusion:
    """A trained fusion with its description.

    Parameters
    ----------
    network
        In evaluation mode.
    config
        The run that trained it.
    spec, size
        The contrasts, and the side of the slices.
    card
        Model card.
    """

    network: Fusion
    config: FusionConfig
    spec: StackSpec
    size: int
    card: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write ``path`` (.safetensors) and beside it a JSON that describes it."""
        said = {"component": "apt-fusion", "config": self.config.model_dump(mode="json")}
        write_weights(path, self.network, said | {"spec": self.spec.to_list(), "size": self.size, "card": self.card})

    @classmethod
    def load(cls, path: Path) -> "TrainedFusion":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or corrupt, or is no fusion.
        """
        description, tensors = read_weights(path, FusionDescription, "a fusion of APT")
        config = validated(path.with_suffix(".json"), description.config, FusionConfig)
        build = lambda: Fusion(config.encoder, config.heads, config.hidden)  # noqa: E731
        network = filled(path, build, tensors, "fusion")
        card = description.card.model_dump(mode="json", exclude_unset=True)
        return cls(network, config, StackSpec(description.spec), description.size, card)

    def require(self, spec: StackSpec, encoder: SmallSize | BiomedCLIPSize, heads: int, hidden: int) -> Fusion:
        """Return the network if it is of these contrasts and this size.

        Parameters
        ----------
        spec
            The contrasts, in order.
        encoder, heads, hidden
            See `FusionConfig`.

        Raises
        ------
        InputError
            If it is not; the sentence names both sides.
        """
        theirs, ours = ", ".join(self.spec.names), ", ".join(spec.names)
        if theirs != ours:
            raise InputError(f"fusion: it was trained on {theirs}, but the data are of {ours}.")
        has, wanted = (self.config.encoder, self.config.heads, self.config.hidden), (encoder, heads, hidden)
        if has != wanted:
            raise InputError(f"fusion: it was trained with {has}, but the recipe says {wanted}.")
        return self.network
