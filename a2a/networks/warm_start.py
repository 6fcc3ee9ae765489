"""A trained U-Net as the beginning of another one, which predicts the same until it is trained further.

Explained in the chapter "The diffusion prior".
"""

from dataclasses import replace

import torch
from torch import Tensor

from a2a.networks.plain import PlainUNet
from a2a.networks.unet import UNet, UNetConfig


def grown(network: UNet, wanted: UNetConfig) -> UNet:
    """Return a network that is as near to `wanted` as its predictions allow.

    Parameters
    ----------
    network
        The trained network.
    wanted
        What the new one shall be. Its levels may be ``own`` where those of the trained one are ``shared``, it may fold
        patches where that one folds none, and be shown more stacks; what differs otherwise is left as it is, for the
        caller to refuse.
    """
    if (network.config.noise_levels, wanted.noise_levels) == ("joint", "per-modality"):
        network = own_levels(network)
    if network.config.patch == 1 < wanted.patch:
        network = folded(network, wanted.patch)
    if network.config.stacks < wanted.stacks:
        network = shown_more(network, wanted.stacks)
    return network


def seeing_adjacent(network: PlainUNet) -> PlainUNet:
    """Return a network that is also shown the slices below and above, and predicts the same whatever they hold."""
    wide, weights = PlainUNet(replace(network.config, adjacent=True)), network.state_dict()
    weights["head.weight"] = _widened(weights["head.weight"], wide.head.weight)
    wide.load_state_dict(weights)
    return wide


def own_levels(network: UNet) -> UNet:
    """Return a network that is told a level for each modality, and predicts the same where they are equal."""
    wide, weights = UNet(replace(network.config, noise_levels="per-modality")), network.state_dict()
    weights["embed.0.weight"] = (weights["embed.0.weight"] / wide.times).repeat(1, wide.times)
    wide.load_state_dict(weights)
    return wide


def shown_more(network: UNet, stacks: int) -> UNet:
    """Return a network that is shown further stacks, and predicts the same whatever they hold."""
    wide, weights = UNet(replace(network.config, stacks=stacks)), network.state_dict()
    weights["head.weight"] = _widened(weights["head.weight"], wide.head.weight)
    wide.load_state_dict(weights)
    return wide


def _widened(known: Tensor, like: Tensor) -> Tensor:
    """Weights of a convolution that ignores its further channels."""
    wide = torch.zeros_like(like)
    wide[:, : known.shape[1]] = known
    return wide


def folded(network: UNet, patch: int) -> UNet:
    """Return a network for images of `patch` times the side, which predicts for each pixel of a patch the same.

    It reads the mean of the patch, ``folded(x) = enlarged(network(mean of each patch of x))``: what was learned of
    larger structures is kept, what the pixels of a patch do differently is left to training.
    """
    fine, pixels = UNet(replace(network.config, patch=patch)), patch**2
    weights = fine.state_dict() | network.state_dict()  # with a bypass that is closed
    weights["head.weight"] = weights["head.weight"].repeat_interleave(pixels, dim=1) / pixels
    for name in ("tail.2.weight", "tail.2.bias"):
        weights[name] = weights[name].repeat_interleave(pixels, dim=0)
    fine.load_state_dict(weights)
    return fine
