"""A prior that answers in place of another one. Explained in the chapter "The diffusion prior"."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from a2a.common.errors import InputError
from a2a.forward.stack import StackSpec
from a2a.prior.denoiser import Denoiser, Times
from a2a.prior.description import Named
from a2a.prior.weights import read_description


class Sized(Denoiser, Protocol):
    """A denoiser for slices of one size."""

    @property
    def size(self) -> int:
        """Height and width of its slices."""


P = TypeVar("P", bound=Sized)


@dataclass(frozen=True)
class Expert(Generic[P]):
    """A prior that answers in place of another where modalities are given as they are and the others are very noisy.

    There one evaluation is nearly the whole answer, and a network does better that learned little else (an ensemble of
    expert denoisers, Balaji et al. 2022).

    Parameters
    ----------
    prior
        With levels of its own for each modality.
    name
        Of its weights.
    since
        The first time at which it is asked.
    mirrored
        Whether it is asked of the mirror images, too, and says the mean of both answers: twice the work, and an answer
        that is the mirror image for a mirror image, as it should be where training slices are mirrored.
    """

    prior: P
    name: str
    since: int
    mirrored: bool = False

    @classmethod
    def load(cls, path: Path, prior: P, named: Named, read: Callable[[Path, StackSpec], P]) -> "Expert[P]":
        """Read the expert that the JSON beside weights names.

        Parameters
        ----------
        path
            The weights.
        prior
            Of them.
        named
            What the JSON says.
        read
            Reads weights for a stack.

        Raises
        ------
        InputError
            If its weights are not there, do not fit, or have an expert themselves.
        """
        other = path.with_name(f"{named.weights}.safetensors")
        if other == path or "expert" in read_description(other):
            raise InputError(f"{path}: the JSON beside it names {named.weights} as expert, which has one itself.")
        expert = read(other, prior.spec)
        fits = (expert.schedule, expert.size, expert.noise_levels) == (prior.schedule, prior.size, "per-modality")
        if not (fits and named.since < prior.schedule.length):
            raise InputError(f"{path}: the expert {named.weights} has another schedule, size or kind of noise levels.")
        return cls(expert, named.weights, named.since, named.mirrored)

    def answers(self, t: Times) -> bool:
        """Whether it is asked: some modality is at a level below `since`, and another one at `since` or above."""
        return isinstance(t, Sequence) and min(t) < self.since <= max(t)

    def predict(self, x: Tensor, t: Times) -> Tensor:
        """Return the clamped clean estimate, see `a2a.prior.denoiser.Denoiser.predict`."""
        answer = self.prior.predict(x, t)
        return (answer + self.prior.predict(x.flip(-1), t).flip(-1)) / 2 if self.mirrored else answer
