"""Lesions that are painted: as bright as those measured, in healthy tissue and nowhere else."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.common.rng import generator
from a2a.training.lesions import Lesions

HEALTHY, LESION = torch.tensor([0.6, 0.3]), torch.tensor([0.4, 0.7])


@pytest.fixture(scope="module")
def slices() -> tuple[torch.Tensor, torch.Tensor]:
    """Slices of two modalities with healthy tissue, a square of lesion, some fluid, and nothing around."""
    draw = torch.Generator().manual_seed(0)
    images = HEALTHY[:, None, None] + 0.02 * torch.randn(6, 2, 48, 48, generator=draw)
    labels = torch.zeros(6, 48, 48, dtype=torch.bool)
    labels[:, 20:26, 20:26] = True
    marked = LESION[:, None, None] + 0.05 * torch.randn(6, 2, 48, 48, generator=draw)
    images = torch.where(labels[:, None], marked, images)
    images[:, :, :, 36:42], images[:, :, :, 42:] = torch.tensor([0.1, 0.9])[:, None, None], 0
    return images.clamp(0, 1), labels


@pytest.fixture(scope="module")
def lesions(slices) -> Lesions:
    return Lesions.measured(*slices)


def test_what_is_measured_is_what_was_there(slices, lesions):
    images, labels = slices
    inside = images.permute(1, 0, 2, 3)[:, labels].numpy()
    np.testing.assert_allclose(lesions.mean, inside.mean(axis=1), atol=1e-5)
    np.testing.assert_allclose(lesions.root @ lesions.root.T, np.cov(inside), atol=1e-4)
    np.testing.assert_allclose(lesions.tissue[1], HEALTHY, atol=0.01)
    assert (lesions.tissue.diff(dim=0) > 0.01).all()


def test_they_lie_in_healthy_tissue_and_nowhere_else(slices, lesions):
    stacks = slices[0][:3].clone()
    stacks[2] = torch.nan  # nothing is known of the slice above
    changed = torch.zeros(48, 48)
    for seed in range(40):
        found, where = lesions.painted(stacks, generator(seed))
        torch.testing.assert_close(found[:2, :, :, 38:], stacks[:2, :, :, 38:])
        assert found[2].isnan().all() and found[:2].min() >= 0 and found[:2].max() <= 1
        assert where.shape == (48, 48) and not where[:, 38:].any()
        assert (((found - stacks)[0].abs().sum(dim=0) > 0.1) <= (where > 0.05)).all()
        changed += ((found - stacks)[0].abs().sum(dim=0) > 0.1).float()
    assert changed[:, :36].sum() > 40 * 20 and not changed[:, 38:].any()


def test_they_are_as_bright_as_those_that_were_marked(slices, lesions):
    stack = HEALTHY[:, None, None].expand(1, 2, 48, 48)
    cores = []
    for seed in range(300):
        found, where = lesions.painted(stack, generator(seed))
        core = where > 0.9
        cores += [found[0][:, core].mean(dim=1)] if core.any() else []
    torch.testing.assert_close(torch.stack(cores).mean(dim=0), lesions.mean, atol=0.05, rtol=0)


def test_the_same_numbers_paint_the_same(slices, lesions):
    one, other = (lesions.painted(slices[0][:1], generator(7))[0] for _ in range(2))
    assert torch.equal(one, other) and not torch.equal(one, slices[0][:1])


def test_without_healthy_tissue_nothing_is_painted(lesions):
    fluid = torch.full((1, 2, 16, 16), 0.95)
    found, where = lesions.painted(fluid, generator(0))
    assert torch.equal(found, fluid) and not where.any()


def test_a_few_pixels_are_no_law(slices):
    labels = torch.zeros(6, 48, 48, dtype=torch.bool)
    labels[0, 20, 20:24] = True
    with pytest.raises(InputError, match="painted: 4 labelled pixels are too few"):
        Lesions.measured(slices[0], labels)
