r"""What the network of a prior is shown of a diffused stack, and what it is to answer.

Explained in the chapter "The diffusion prior".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from a2a.common.errors import InputError
from a2a.common.units import to_model
from a2a.prior.linear import LinearEstimate
from a2a.prior.schedule import NoiseSchedule

Predicts = Literal["noise", "velocity", "clean"]
Line = tuple[Tensor | float, Tensor | float]


@dataclass(frozen=True, eq=False)
class Target:
    r"""What a network answers of a stack, as a line to the clean stack, :math:`\hat x_0 = a + b f`.

    ================ ==================================================== ======================================
    predicts         a                                                    b
    ================ ==================================================== ======================================
    noise            :math:`x_t / \sqrt{\bar\alpha}`                      :math:`-\sqrt{1/\bar\alpha - 1}`
    velocity         :math:`\sqrt{\bar\alpha}\, x_t`                      :math:`-\sqrt{1 - \bar\alpha}`
    clean            0                                                    1
    clean, corrected the linear estimate                                  the deviation that it leaves
    ================ ==================================================== ======================================

    The last row is what a network answers that goes with a linear estimate: it corrects the estimate, in standard
    deviations, so that its answer has variance 1 at all times, and 0 is linear regression. It is shown this estimate
    and, in place of x_t, that of each modality by itself: what is nothing but noise is not shown at all, so that at
    t = T the answer does not depend on it. The velocity is the special case of mean 0 and covariance I. Where the
    estimate is pooled, a third stack shows how much it leaves open of each modality: that says all noise levels.

    Parameters
    ----------
    schedule
        Noise schedule.
    predicts
        What is answered.
    linear
        The linear estimate that is corrected, or None.

    Raises
    ------
    InputError
        If `predicts` is none of the three, or a linear estimate comes with another than ``clean``.
    """

    schedule: NoiseSchedule
    predicts: Predicts = "noise"
    linear: LinearEstimate | None = None

    def __post_init__(self) -> None:
        if self.predicts not in get_args(Predicts):
            raise InputError(f"predicts: {self.predicts!r} is neither of {', '.join(get_args(Predicts))}.")
        if self.linear is not None and self.predicts != "clean":
            raise InputError(f"predicts: {self.predicts!r} corrects no linear estimate; it must be 'clean'.")

    @property
    def stacks(self) -> int:
        """How many stacks the network is shown."""
        return 1 if self.linear is None else 3 if self.linear.pooled else 2

    def shown(self, x: Tensor, t: int | Tensor | Sequence[int]) -> tuple[Tensor, Line]:
        """Return what the network is shown of diffused stacks, `(B, stacks * n, H, W)`, and the line a, b.

        Parameters
        ----------
        x
            Diffused stacks `(B, n, H, W)`, model range.
        t
            Times, see `a2a.prior.schedule.NoiseSchedule.coefficients`.
        """
        return self.shown_at(x, *self.schedule.coefficients(t, x))

    def shown_at(self, x: Tensor, signal: float | Tensor, spread: float | Tensor) -> tuple[Tensor, Line]:
        """Return what `shown` does, for the two coefficients in place of the time.

        Parameters
        ----------
        x
            Diffused stacks `(B, n, H, W)`, model range.
        signal, spread
            Square roots of abar and 1 - abar, numbers or `(B, n, 1, 1)`.
        """
        if self.linear is not None:
            estimate, deviation = self.linear(x, signal, spread)
            alone = self.linear.alone(x, signal, spread)
            stacks = [alone, self.linear.standardised(estimate)]
            if self.linear.pooled:
                stacks.append(self.linear.left(deviation).expand_as(x))
            return torch.cat(stacks, dim=1), (estimate, deviation)
        if self.predicts == "clean":
            return x, (0.0, 1.0)
        return x, (signal * x, -spread) if self.predicts == "velocity" else (x / signal, -spread / signal)

    def beside(self, images: Tensor) -> Tensor:
        """Return what the network is shown of the slices below and above, standardised; 0 where nothing is known.

        Parameters
        ----------
        images
            ``(B, 2, n, H, W)`` in image units, NaN where nothing is known.
        """
        assert self.linear is not None  # networks that look there correct a linear estimate
        return self.linear.standardised(to_model(images)).nan_to_num(0.0).flatten(1, 2)

    def truth(self, clean: Tensor, noise: Tensor, t: Tensor, line: Line) -> Tensor:
        """Return the answer that is right.

        Parameters
        ----------
        clean, noise
            Stacks before diffusion and the noise in them, `(B, n, H, W)`, model range.
        t
            Times `(B, 1)` or `(B, n)`.
        line
            What `shown` returned of the diffused stacks.
        """
        if self.predicts == "noise":
            return noise
        return self.schedule.velocity(clean, noise, t) if self.predicts == "velocity" else (clean - line[0]) / line[1]

    def weight(self, t: Tensor, line: Line, like: Tensor) -> Tensor:
        """Return how much the squared errors of the answer count, to be multiplied with `(B, n, H, W)`.

        All losses are of the clean stack, in units of what is left to find out of a modality at its time. That is the
        variance of the noise, or the one which a linear estimate leaves, averaged over the pixels.

        Parameters
        ----------
        t
            Times ``(B,)`` or ``(B, n)``.
        line
            The linear estimate and its standard deviation, where there is one.
        like
            Gives dtype and device.
        """
        if self.linear is not None:
            variance = torch.as_tensor(line[1]).square()
            return variance / variance.mean(dim=(2, 3), keepdim=True)
        if self.predicts == "clean":
            return torch.as_tensor(self.schedule.coefficients(t, like)[1]).square().clamp_min(1e-4).reciprocal()
        return like.new_ones(len(t), 1, 1, 1)
