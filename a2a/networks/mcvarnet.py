r"""MC-VarNet: an unrolled reconstruction that splits the reference into what it shares with the target and the rest.

Lei et al., "Decomposition-based variational network for multi-contrast MRI super-resolution and reconstruction",
ICCV 2023. Half-quadratic splitting of ::

    1/2 |A x - y|^2 + lam R_x(x) + gamma/2 |E_x x - E_c c|^2 + 1/2 |r - c - u|^2
        + alpha/2 |c - p|^2 + R_c(p) + beta/2 |u - q|^2 + R_u(q)

over the target x, the common part c and the unique part u of the reference r, and their priors' estimates p and q.
Chapter "MC-VarNet" derives the steps and shows the network at a glance.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from a2a.forward.operators import LinearOperator
from a2a.forward.operators.per_item import PerItem
from a2a.networks.blocks import conv3


@dataclass(frozen=True)
class MCVarNetSize:
    """Size of an `MCVarNetNetwork`; the defaults are the published ones.

    Parameters
    ----------
    features
        Channels C that image and reference are repeated to.
    iterations
        T, at least 4: with fewer, N_u would have no say in the image.
    train_scalars
        Whether the step sizes and weights of the iterations are learned, as in the paper. In the released code they
        stay as they begin: mu = 0.1, all others 1.
    residual_prior
        Whether N_x, which is subtracted from the image, contains the identity, as in the released code. Without it
        an untrained network begins near plain gradient steps, and can still learn to shrink.
    """

    features: int = 32
    iterations: int = 4
    train_scalars: bool = True
    residual_prior: bool = False


class PriorNet(nn.Module):
    """The small U-Net N of every prior: C channels everywhere, three scales, one PReLU parameter a block.

    Parameters
    ----------
    features
        Number of channels C.
    residual
        Whether the input is added to the output.

    Notes
    -----
    Image sides must be multiples of 4. The released code also halves the coarsest features once more and drops the
    result; that convolution counts in the published size, so it is here, but it is never run and never trained.
    """

    def __init__(self, features: int, residual: bool = True):
        super().__init__()
        self.residual = residual
        self.encoders = nn.ModuleList([Convolutions(features, 3) for _ in range(3)])
        self.downs = nn.ModuleList([nn.Conv2d(features, features, 3, stride=2, padding=1) for _ in range(3)])
        self.downs[2].requires_grad_(False)
        self.ups = nn.ModuleList(
            [nn.ConvTranspose2d(features, features, 3, stride=2, padding=1, output_padding=1) for _ in range(2)]
        )
        self.decoders = nn.ModuleList([Convolutions(features, 4, inside=2 * features) for _ in range(2)])
        self.end = Convolutions(features, 4)

    def forward(self, x: Tensor) -> Tensor:
        """Return features ``(B, C, H, W)`` like the input."""
        fine = self.encoders[0](x)
        middle = self.encoders[1](self.downs[0](fine))
        h = self.encoders[2](self.downs[1](middle))
        for skip, up, decoder in zip((middle, fine), self.ups, self.decoders, strict=True):
            h = decoder(torch.cat([up(h), skip], dim=1))
        return x + self.end(h) if self.residual else self.end(h)


class Convolutions(nn.Module):
    """3 x 3 convolutions with one PReLU parameter, which all gaps between them share.

    PReLU is written as a x + (1 - a) max(x, 0): the same function, with a much faster gradient than PyTorch's.
    """

    def __init__(self, features: int, count: int, inside: int | None = None):
        super().__init__()
        self.convs = nn.ModuleList([conv3(inside or features, features)])
        self.convs += [conv3(features, features) for _ in range(count - 1)]
        self.slope = nn.Parameter(torch.tensor([0.25]))

    def forward(self, x: Tensor) -> Tensor:
        h = self.convs[0](x)
        for conv in self.convs[1:]:
            h = conv(torch.lerp(h.relu(), h, self.slope.to(h.dtype)))
        return h


class Split(NamedTuple):
    """The variables of an iteration, each ``(B, C, H, W)``: target, common and unique part, and their priors."""

    x: Tensor
    c: Tensor
    u: Tensor
    p: Tensor
    q: Tensor


class MCVarNetNetwork(nn.Module):
    """T iterations with networks that all of them share and scalars of their own.

    Parameters
    ----------
    size
        See `MCVarNetSize`.

    Notes
    -----
    The released code is for one coil. Here the data enter through the operator A of any number of coils, as
    ``x - (Re(A^H A) x - Re(A^H y))``; for one coil this puts the measured samples in place of those of x.
    """

    def __init__(self, size: MCVarNetSize):
        super().__init__()
        self.size, features = size, size.features
        self.start_x, self.start_c = PriorNet(features), PriorNet(features)
        self.prior_x = PriorNet(features, residual=size.residual_prior)
        self.prior_c, self.prior_u = PriorNet(features), PriorNet(features)
        self.encode_x, self.encode_c = _pair(features), _pair(features)
        self.decode_x, self.decode_c, self.transform_c = _pair(features), _pair(features), _pair(features)
        self.tail = conv3(features, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        steps = size.iterations
        self._scalars("mu", 0.1, steps), self._scalars("lam", 1.0, steps), self._scalars("gamma_x", 1.0, steps)
        self._scalars("gamma_c", 1.0, steps - 1), self._scalars("alpha", 1.0, steps - 1)
        self._scalars("beta", 1.0, steps - 2)

    def _scalars(self, name: str, value: float, count: int) -> None:
        """One number for each iteration that uses it."""
        values = torch.full((count,), value)
        if self.size.train_scalars:
            self.register_parameter(name, nn.Parameter(values))
        else:
            self.register_buffer(name, values)

    def forward(self, zero_filled: Tensor, reference: Tensor, operator: LinearOperator) -> Tensor:
        """Return the target ``(B, 1, H, W)`` from b = Re(A^H y) and the reference, both ``(B, 1, H, W)``.

        Parameters
        ----------
        zero_filled, reference
            ``(B, 1, H, W)`` in image units.
        operator
            How the target was measured.
        """
        b, r = (image.expand(-1, self.size.features, -1, -1) for image in (zero_filled, reference))
        split = self.begin(b, r)
        for i in range(self.size.iterations):
            split = self.step(i, split, b, r, operator)
        return self.tail(split.x)

    def begin(self, b: Tensor, r: Tensor) -> Split:
        """x = N_ix(b); c = N_ic(r), u = r - c, and both priors' estimates the same."""
        c = self.start_c(r)
        return Split(self.start_x(b), c, r - c, c, r - c)

    def step(self, i: int, old: Split, b: Tensor, r: Tensor, operator: LinearOperator) -> Split:
        """One iteration; every update uses the old values of the others (Jacobi). What no later step uses stays old.

        Parameters
        ----------
        i
            Number of the iteration.
        old
            What the last one left.
        b
            Re(A^H y), ``(B, 1, H, W)``.
        r
            The reference, ``(B, 1, H, W)``.
        operator
            How the target was measured.
        """
        x = self.update_image(i, old, b, operator)
        if i == self.size.iterations - 1:
            return old._replace(x=x)
        c = self.update_common(i, old, r)
        if i == self.size.iterations - 2:
            return old._replace(x=x, c=c)
        u = self.update_unique(i, old, r)
        return Split(x, c, u, self.prior_c(c), self.prior_u(u))

    def update_image(self, i: int, old: Split, b: Tensor, operator: LinearOperator) -> Tensor:
        """DC(x) - mu (gamma_x D_x(E_x(x) - E_c(c)) + lam N_x(x)).

        Parameters
        ----------
        i
            Number of the iteration.
        old
            What the last one left.
        b
            Re(A^H y), ``(B, 1, H, W)``.
        operator
            How the target was measured.
        """
        difference = self.decode_x(self.encode_x(old.x) - self.encode_c(old.c))
        change = self.gamma_x[i] * difference + self.lam[i] * self.prior_x(old.x)
        return data_consistency(old.x, b, operator) - self.mu[i] * change

    def update_common(self, i: int, old: Split, r: Tensor) -> Tensor:
        """T_c(r - u + gamma_c D_c(E_x(x)) + alpha p).

        Parameters
        ----------
        i
            Number of the iteration.
        old
            What the last one left.
        r
            The reference, ``(B, 1, H, W)``.
        """
        from_target = self.decode_c(self.encode_x(old.x))
        return self.transform_c(r - old.u + self.gamma_c[i] * from_target + self.alpha[i] * old.p)

    def update_unique(self, i: int, old: Split, r: Tensor) -> Tensor:
        """``(r + beta q - c) / (1 + beta)``, the minimiser of ``1/2 |r - c - u|^2 + beta/2 |u - q|^2`` over u.

        Parameters
        ----------
        i
            Number of the iteration.
        old
            What the last one left.
        r
            The reference, ``(B, 1, H, W)``.
        """
        return (r + self.beta[i] * old.q - old.c) / (1 + self.beta[i])


def _pair(features: int) -> nn.Sequential:
    return nn.Sequential(conv3(features, features), nn.ReLU(), conv3(features, features))


def data_consistency(x: Tensor, b: Tensor, operator: LinearOperator) -> Tensor:
    """One gradient step of ``1/2 |A x - y|^2`` of size 1 in every channel: ``x - (Re(A^H A) x - b)``.

    Stable because coil maps with ``sum_c |s_c|^2 = 1`` make ``|A| <= 1``. Never in reduced precision.

    Parameters
    ----------
    x, b
        ``(B, C, H, W)``; b = Re(A^H y) in each channel.
    operator
        A.
    """
    channels = x.shape[1]
    every = operator.repeat(channels) if isinstance(operator, PerItem) else operator
    with torch.autocast(x.device.type, enabled=False):
        x, b = (image if image.dtype == torch.float64 else image.float() for image in (x, b))
        normal = every.normal(x.transpose(0, 1).flatten(0, 1)).unflatten(0, (channels, -1)).transpose(0, 1)
        return x - (normal - b)
