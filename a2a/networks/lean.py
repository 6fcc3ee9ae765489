r"""Layers that keep less for a gradient by their input alone, as MPS takes it through a frozen network.

PyTorch keeps the input of a convolution for the gradient of its weights even where these are frozen, and of a norm
followed by SiLU both inputs. Frozen layers of this module keep nothing and the input of the norm; trained ones are
PyTorch's own. Results are the same, gradients up to rounding. Chapter "What it costs" measures the memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

LARGE = 2**20  # numbers in a feature map, 4 MiB; keeping less of a smaller one costs more time than it is worth


def _frozen(layer: nn.Module, x: Tensor) -> bool:
    """Whether a gradient is taken, by the input alone, and of a feature map so large that keeping less pays."""
    return torch.is_grad_enabled() and x.requires_grad and not layer.weight.requires_grad and x.numel() >= LARGE


class Convolution(nn.Conv2d):
    """A convolution that, frozen, keeps none of its feature maps."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x`, `(B, C, H, W)`."""
        if _frozen(self, x):
            return _Convolved.apply(x, self.weight, self.bias, self.stride, self.padding)
        return super().forward(x)


class _Convolved(torch.autograd.Function):
    """The convolution as a function of its input, of which only the shape is kept."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, stride: tuple, padding: tuple) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.input, ctx.layout = x.shape, (stride, padding)
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple:
        (weight,) = ctx.saved_tensors
        nothing, weight = gradient.new_empty(1).expand(ctx.input), weight.to(gradient.dtype)
        only_input = [True, False, False]
        layout = (*ctx.layout, (1, 1), False, (0, 0), 1)
        parts = torch.ops.aten.convolution_backward(gradient, nothing, weight, None, *layout, only_input)
        return parts[0], None, None, None, None


def activated(norm: nn.GroupNorm, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    r"""Return :math:`\mathrm{SiLU}((1 + \text{scale})\, \mathrm{norm}(x) + \text{shift})`; frozen, it keeps `x` alone.

    Parameters
    ----------
    norm
        The norm.
    x
        Feature maps, `(B, C, H, W)`.
    scale, shift
        `(B, C, 1, 1)`, or None for plain SiLU of the norm. Constants where the norm is frozen.
    """
    return _Activated.apply(x, norm, scale, shift) if _frozen(norm, x) else F.silu(_told(norm(x), scale, shift))


def _told(h: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    return h if scale is None else h * (1 + scale) + shift


class _Activated(torch.autograd.Function):
    """The function of `activated`; what the norm returned is computed anew, a product and a sum away from `x`."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, norm: nn.GroupNorm, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        ctx.norm, ctx.sizes = norm, (*x.shape[:2], x.shape[2:].numel(), norm.num_groups)
        h, mean, inverse = torch.native_group_norm(x, norm.weight, norm.bias, *ctx.sizes, norm.eps)
        ctx.save_for_backward(x, mean, inverse, scale, shift)
        return F.silu(_told(h, scale, shift))

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple:
        x, mean, inverse, scale, shift = ctx.saved_tensors
        weight, bias = ctx.norm.weight, ctx.norm.bias
        slope = inverse[..., None] * weight.reshape(1, ctx.norm.num_groups, -1)
        offset = bias - (mean[..., None] * slope).flatten(1)
        slope, offset = (part.reshape(*x.shape[:2], 1, 1).to(x.dtype) for part in (slope, offset))
        h = _told((x * slope).add_(offset), scale, shift)
        by_norm = torch.ops.aten.silu_backward(gradient, h)
        by_norm = by_norm if scale is None else by_norm.mul_(1 + scale)
        del h
        only_input = [True, False, False]
        parts = torch.ops.aten.native_group_norm_backward(by_norm, x, mean, inverse, weight, *ctx.sizes, only_input)
        return parts[0], None, None, None
