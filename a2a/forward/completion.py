"""What every method returns: completed stacks."""

from dataclasses import dataclass

from torch import Tensor

from a2a.forward.stack import StackSpec


@dataclass(frozen=True)
class Completion:
    """Posterior samples of complete stacks.

    Parameters
    ----------
    samples
        `(S, B, n, H, W)` in image units [0, 1]; NaN in modalities that the method does not give.
    spec
        The n modalities.
    seconds
        Wall time of the whole call.
    evaluations
        Network evaluations for each sample; gradients through them are not counted.
    """

    samples: Tensor
    spec: StackSpec
    seconds: float
    evaluations: int

    def __repr__(self) -> str:
        shape, seconds = tuple(self.samples.shape), round(self.seconds, 1)
        return f"Completion({self.spec.names}, {shape=}, {seconds=}, evaluations={self.evaluations})"

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the modalities that the method gives."""
        return tuple(i for i in range(len(self.spec)) if not self.samples[:, :, i].isnan().any())

    @property
    def mean(self) -> Tensor:
        """Mean over the samples, `(B, n, H, W)`."""
        return self.samples.mean(dim=0)

    @property
    def std(self) -> Tensor:
        """Standard deviation over the samples (unbiased; zero for a single one), `(B, n, H, W)`."""
        return self.samples.std(dim=0, correction=1 if len(self.samples) > 1 else 0)
