"""Every epoch sees every slice once; augmentation keeps modalities together and values in range."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from a2a.common.rng import generator
from a2a.training.batches import augment, rows_of_step
from a2a.training.config import Augmentation

STILL = Augmentation(flip=0)
WILD = Augmentation(flip=0.5, rotate=30, scale=0.3, shift=0.1, gain=0.5, gamma=0.5)


@pytest.fixture
def image() -> torch.Tensor:
    """One smooth picture, `(16, 16)` in [0, 1]."""
    noise = np.random.default_rng(5).random((16, 16))
    smooth = ndimage.gaussian_filter(noise, 1.5)
    return torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth)).float()


@pytest.mark.parametrize(("batch", "slices"), [(6, 20), (7, 5), (20, 20), (1, 3)])
def test_every_epoch_is_a_permutation(batch, slices):
    seen = [row for step in range(3 * slices) for row in rows_of_step(0, step, batch, slices)]
    epochs = [seen[i : i + slices] for i in range(0, len(seen), slices)]
    assert all(sorted(epoch) == list(range(slices)) for epoch in epochs)
    assert slices == 1 or len({tuple(epoch) for epoch in epochs}) > 1


def test_no_augmentation_is_the_identity(image):
    assert torch.equal(augment(image[None], STILL, generator(0)), image[None])


def test_a_flip_is_an_involution_along_the_width(image):
    always = Augmentation(flip=1)
    once = augment(image[None], always, generator(0))
    assert torch.equal(once, image[None].flip(-1)) and not torch.equal(once, image[None])
    assert torch.equal(augment(once, always, generator(1)), image[None])


def test_half_of_the_slices_are_flipped(image):
    results = [augment(image[None], Augmentation(flip=0.5), generator(0, i)) for i in range(400)]
    flipped = sum(torch.equal(result, image[None].flip(-1)) for result in results)
    assert abs(flipped - 200) < 4 * 10  # four standard deviations


def test_all_modalities_move_together(image):
    moved = Augmentation(flip=0.5, rotate=20, scale=0.2, shift=0.1)
    for seed in range(5):
        first, second, third = augment(image.expand(3, -1, -1), moved, generator(seed))
        assert torch.equal(first, second) and torch.equal(first, third) and not torch.equal(first, image)


def test_gain_and_gamma_differ_between_modalities_and_keep_the_order_of_values(image):
    first, second = augment(image.expand(2, -1, -1), Augmentation(flip=0, gain=0.1, gamma=0.2), generator(1))
    assert not torch.equal(first, second)
    order = image.flatten().argsort()
    assert (first.flatten()[order].diff() >= 0).all() and (second.flatten()[order].diff() >= 0).all()
    assert first[image == 0].eq(0).all()


def test_values_stay_in_range(image):
    stack = torch.stack([image, torch.ones_like(image), torch.zeros_like(image)])
    for seed in range(60):
        changed = augment(stack, WILD, generator(seed))
        assert changed.min() >= 0 and changed.max() <= 1 and changed.isfinite().all()


def smooth(image):
    """Where interpolations differ little."""
    return torch.from_numpy(ndimage.gaussian_filter(image.numpy(), 2))


def test_rotation_is_in_degrees_about_the_centre(image):
    draw, image = generator(11), smooth(image)
    torch.rand((), generator=draw)
    angle = 15 * float(torch.randn(4, generator=draw)[0])
    turned = augment(image[None], Augmentation(flip=0, rotate=15), generator(11))[0]
    expected = ndimage.rotate(image.numpy(), angle, reshape=False)
    inner = (slice(4, 12), slice(4, 12))
    np.testing.assert_allclose(turned.numpy()[inner], expected[inner], atol=0.02)


def test_shift_is_in_fractions_of_the_side(image):
    draw, image = generator(12), smooth(image)
    torch.rand((), generator=draw)
    dx, dy = (0.05 * 16 * torch.randn(4, generator=draw)[2:]).tolist()
    moved = augment(image[None], Augmentation(flip=0, shift=0.05), generator(12))[0]
    expected = ndimage.shift(image.numpy(), (-dy, -dx))
    inner = (slice(4, 12), slice(4, 12))
    np.testing.assert_allclose(moved.numpy()[inner], expected[inner], atol=0.02)


def test_several_slices_are_changed_alike(image):
    three = torch.stack([image, image.flip(0), torch.full_like(image, torch.nan)])[:, None].expand(-1, 2, -1, -1)
    changed = augment(three, WILD, generator(3))
    assert torch.equal(changed[0], augment(three[0], WILD, generator(3)))
    assert torch.equal(changed[1], augment(three[1], WILD, generator(3))) and changed[2].isnan().all()


def test_switching_one_change_off_leaves_the_others(image):
    both = augment(image[None], Augmentation(flip=0, rotate=15, gain=0.1), generator(4))
    turned = augment(image[None], Augmentation(flip=0, rotate=15), generator(4))
    inside = (both < 1) & (turned > 0)
    ratio = (both / turned)[inside]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio))
