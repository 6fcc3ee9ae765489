"""The prior codebook: which contrast, changed how, looks most like a missing one (Shin et al. 2025, section 3.3).

It is made of training subjects, once, and asked when a contrast is missing. Explained in the chapter "APT".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, FiniteFloat
from torch import Tensor, nn

from a2a.common.documents import read_json
from a2a.common.errors import InputError
from a2a.common.files import write_json
from a2a.common.units import to_model
from a2a.methods.baselines.apt.curves import TRANSFORMS, transformed

BATCH = 64
KINDS = len(TRANSFORMS)
Table = tuple[tuple[tuple[FiniteFloat, ...], ...], ...]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    modalities: tuple[str, ...]
    data: str
    transforms: tuple[str, ...]
    share: Table
    similarity: Table
    factor: Table


@dataclass(frozen=True, eq=False)
class Codebook:
    """What stands in for a missing contrast.

    Parameters
    ----------
    modalities
        Names of the n contrasts.
    data
        Fingerprint of the training data.
    share
        ``(n, n, 4)``: of how many training slices a target looks most like a source (second) with one of `TRANSFORMS`
        (third), as a fraction; 0 from a contrast to itself.
    similarity
        Mean cosine similarity of their descriptions, of the same shape.
    factor
        Mean of the target over that of the transformed source, of the same shape.
    """

    modalities: tuple[str, ...]
    data: str
    share: Tensor
    similarity: Tensor
    factor: Tensor

    @classmethod
    def of(cls, encoder: nn.Module, images: Tensor, modalities: Sequence[str], data: str) -> "Codebook":
        """Compare all contrasts of training slices with all transformed other contrasts.

        Parameters
        ----------
        encoder
            See `a2a.methods.baselines.apt.encoders`.
        images
            ``(N, n, H, W)`` in image units, of training subjects only.
        modalities, data
            See the class.
        """
        n, slices = images.shape[1], len(images)
        best, similar, means = torch.zeros(n, n * KINDS), torch.zeros(n, n * KINDS), torch.zeros(n, KINDS)
        own = torch.eye(n, dtype=torch.bool).repeat_interleave(KINDS, dim=1)
        for part in images.split(BATCH):
            looks = torch.stack([transformed(part, kind) for kind in range(KINDS)], dim=2)
            means += looks.mean(dim=(3, 4)).sum(dim=0)
            joint = looks / looks.amax(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-6)
            described = _described(encoder, joint.flatten(0, 2)).unflatten(0, (len(part), n * KINDS))
            cosine = described[:, ::KINDS] @ described.transpose(1, 2)
            similar += cosine.sum(dim=0)
            chosen = cosine.masked_fill(own, -torch.inf).argmax(dim=2)
            best += F.one_hot(chosen, n * KINDS).sum(dim=0)
        factor = means[:, :1, None] / means.clamp_min(1e-6)
        share, similarity = best / slices, (similar / slices).masked_fill(own, 0.0)
        tables = [table.reshape(n, n, KINDS) for table in (share, similarity, factor)]
        return cls(tuple(modalities), data, tables[0], tables[1], tables[2])

    def choose(self, target: int, given: Sequence[bool]) -> tuple[int, int]:
        """Return the source and the transform that most often look like a target, among given contrasts.

        Where no training slice chose one of these, the most similar on average.

        Parameters
        ----------
        target
            Its number.
        given
            Which of the contrasts are there; at least one beside the target.

        Raises
        ------
        InputError
            If none is.
        """
        sources = [i for i, there in enumerate(given) if there and i != target]
        if not sources:
            raise InputError(f"Nothing is given from which {self.modalities[target]} could begin.")
        pairs = [(source, kind) for source in sources for kind in range(KINDS)]
        return max(pairs, key=lambda pair: (float(self.share[target][pair]), float(self.similarity[target][pair])))

    def image(self, target: int, stack: Tensor, source: int, kind: int) -> Tensor:
        """Return what stands in for a target, ``(H, W)`` in [0, 1].

        Parameters
        ----------
        target
            Its number.
        stack
            ``(n, H, W)`` in image units.
        source, kind
            Contrast and transform.
        """
        return (transformed(stack[source], kind) * float(self.factor[target, source, kind])).clamp(0, 1)

    def require(self, modalities: Sequence[str], data: str) -> "Codebook":
        """Return the codebook if it is of these contrasts and these training data.

        Parameters
        ----------
        modalities, data
            See the class.

        Raises
        ------
        InputError
            If it is not; the sentence names both sides.
        """
        if self.modalities != tuple(modalities):
            theirs, ours = ", ".join(self.modalities), ", ".join(modalities)
            raise InputError(f"codebook: it is of {theirs}, but the data are of {ours}.")
        if self.data != data:
            raise InputError(f"codebook: it was made of data {self.data[:12]}, these are {data[:12]}; make it anew.")
        return self

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        tables = {name: getattr(self, name).double().tolist() for name in ("share", "similarity", "factor")}
        write_json(path, {"modalities": list(self.modalities), "data": self.data, "transforms": TRANSFORMS} | tables)

    @classmethod
    def load(cls, path: Path) -> "Codebook":
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing or no codebook.
        """
        said = read_json(path, _File)
        n = len(said.modalities)
        tables = [torch.tensor(table) for table in (said.share, said.similarity, said.factor)]
        if said.transforms != TRANSFORMS or any(table.shape != (n, n, KINDS) for table in tables):
            raise InputError(f"{path}: no codebook for {n} contrasts and the transforms {', '.join(TRANSFORMS)}.")
        return cls(said.modalities, said.data, *tables)


@torch.no_grad()
def _described(encoder: nn.Module, images: Tensor) -> Tensor:
    """Unit vectors of images ``(b, H, W)``."""
    like = next(encoder.parameters())
    parts = [encoder(to_model(part[:, None].to(like))).cpu() for part in images.split(BATCH)]
    return F.normalize(torch.cat(parts), dim=-1)
