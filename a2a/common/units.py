"""Image units [0, 1], in which everything is stated, and the range [-1, 1] in which priors and networks work."""

from torch import Tensor


def to_model(image: Tensor) -> Tensor:
    """Image units [0, 1] to the model's range [-1, 1], of a tensor of any shape."""
    return (2 * image).sub_(1)


def to_image(model: Tensor) -> Tensor:
    """The model's range [-1, 1] to image units [0, 1], of a tensor of any shape."""
    return (model + 1).mul_(0.5)
