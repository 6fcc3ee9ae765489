"""Another prior's own, coarser grid: slices go there, are completed, and come back to be measured beside the fine ones.

Explained in the chapter "Your own NIfTI files".
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.rng import spawn
from a2a.data.store.read import SliceStore
from a2a.forward.observation import Observation
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality
from a2a.forward.undersampling import Undersampling
from a2a.prior.prior import Prior
from a2a.samplers.mds import mds


@dataclass(frozen=True, eq=False)
class CoarseRoute:
    """Completions by a prior of another grid and another scale, as `a2a complete` with it makes them.

    Every modality is divided by the percentile of the head's positive pixels that the prior was trained with. That of
    the target is taken from the truth, so that its scale is not measured here, only its picture.

    Parameters
    ----------
    prior
        The other prior.
    store
        Slices on the fine grid; its modalities are those of the prior, maybe under other names and in another order.

    Raises
    ------
    InputError
        If the prior lacks a modality of the store, its field of view is larger, or its grid is not coarser.
    """

    prior: Prior
    store: SliceStore

    def __post_init__(self) -> None:
        if sorted(self._order) != list(range(len(self.store.spec))):
            theirs = ", ".join(self.prior.spec.names)
            raise InputError(
                f"--coarse: its modalities {theirs} are not the store's {', '.join(self.store.spec.names)}."
            )
        ours, theirs = (float(how["field_of_view_mm"]) for how in (self.store.said("preprocessing"), self._how))
        if theirs > ours or theirs / self.prior.size <= ours / self.store.size:
            raise InputError(
                f"--coarse: its grid of {self.prior.size} pixels in {theirs:g} mm is none inside the store's "
                f"{self.store.size} in {ours:g} mm."
            )

    @property
    def _how(self) -> dict[str, Any]:
        return self.prior.card["data"]["preprocessing"]

    @property
    def millimetres(self) -> float:
        """Its pixels."""
        return self._how["field_of_view_mm"] / self.prior.size

    @cached_property
    def _order(self) -> list[int]:
        """Where each modality of the prior is in the store."""
        return [self._place(modality) for modality in self.prior.spec]

    def _place(self, modality: Modality) -> int:
        for name in (modality.name, *modality.aliases):
            with suppress(InputError):
                return self.store.spec.index(name)
        ours = ", ".join(self.store.spec.names)
        raise InputError(
            f"--coarse: its prior has {modality.name}, the store has {ours}; name one of the same modalities."
        )

    @property
    def _inside(self) -> slice:
        """Rows and columns of the fine grid that the coarse one covers."""
        size, ours = self.store.size, self.store.said("preprocessing")["field_of_view_mm"]
        covered = round(size * self._how["field_of_view_mm"] / ours)
        return slice((size - covered) // 2, (size - covered) // 2 + covered)

    def there(self, images: Tensor) -> Tensor:
        """Bring slices of the fine grid to the coarse one, averaging: `(B, n, H, W)` in, `(B, n, h, w)` out."""
        part, side = images[:, :, self._inside, self._inside], self.prior.size
        return F.interpolate(part, (side, side), mode="bilinear", antialias=True, align_corners=False)

    def back(self, images: Tensor) -> Tensor:
        """Interpolate slices of the coarse grid to the fine one, 0 outside."""
        inside, size = self._inside, self.store.size
        side = inside.stop - inside.start
        found = images.new_zeros(*images.shape[:2], size, size)
        found[:, :, inside, inside] = F.interpolate(images, (side, side), mode="bilinear", align_corners=False)
        return found

    def seen(self, images: Tensor) -> Tensor:
        """Slices of the fine grid as the coarse one can show them: there and back."""
        return self.back(self.there(images))

    def scales(self, images: Tensor) -> Tensor:
        """The percentile of each modality's positive pixels in one head, `(n, 1, 1)`."""
        ends = [np.percentile(one[one > 0].numpy(), self._how["percentile"]) for one in images.unbind(dim=1)]
        return torch.tensor(ends, dtype=images.dtype)[:, None, None]

    def complete(
        self,
        images: Tensor,
        given: str,
        target: int,
        undersampling: Undersampling,
        steps: int,
        samples: int,
        rho: float,
    ) -> tuple[Tensor, float]:
        """Complete one head on the coarse grid and bring its target back.

        Parameters
        ----------
        images
            Its true slices on the fine grid, `(B, n, H, W)`, image units of the store.
        given
            The scenario, in the names of the store.
        target
            Which modality of the store comes back.
        undersampling
            How k-space is acquired, of the coarse image.
        steps, samples, rho
            See `a2a.samplers.mds.mds`.

        Returns
        -------
        tuple
            Samples of the target `(S, B, H, W)` in image units of the store, and seconds.
        """
        order, scales, rows = self._order, self.scales(images), len(images)
        kinds = Scenario.parse(given, self.store.spec).kinds
        scenario = str(Scenario(self.prior.spec.names, tuple(kinds[i] for i in order)))
        there = self.there((images / scales).clamp(0, 1))[:, order]
        observation = Observation.simulate(there, scenario, self.prior.spec, undersampling, spawn(0, rows))
        done = mds(
            self.prior, observation, steps=steps, noise_levels=self.prior.noise_levels, rho=rho, samples=samples,
            generators=spawn(0, rows, samples),
        )  # fmt: skip
        found = torch.stack([self.back(one[:, [order.index(target)]])[:, 0] for one in done.samples])
        return found * scales[target], done.seconds
