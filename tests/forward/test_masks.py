"""Which positions are sampled: counts, k = 0, spacing, refusals."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from a2a.common.errors import InputError
from a2a.forward.masks import equispaced_mask, poisson_mask, random_mask


@pytest.mark.parametrize(("n", "r"), [(8, 1), (8, 4), (256, 4), (12, 3), (15, 5), (9, 9)])
class TestEquispaced:
    def test_offsets_share_the_lines_out(self, n, r):
        masks = torch.stack([equispaced_mask(n, r, o) for o in range(r)])
        assert masks.sum(dim=0).tolist() == [1] * n
        assert masks.sum(dim=1).tolist() == [n // r] * r

    def test_k0_is_sampled_by_default(self, n, r):
        assert bool(equispaced_mask(n, r)[n // 2])
        assert torch.equal(equispaced_mask(n, r), equispaced_mask(n, r, (n // 2) % r))

    def test_equally_spaced(self, n, r):
        lines = equispaced_mask(n, r, r - 1).nonzero().flatten()
        assert set(lines.diff().tolist()) <= {r} and int(lines[0]) == r - 1


@pytest.mark.parametrize(("n", "acs"), [(16, 1), (16, 4), (15, 5), (16, 16)])
def test_calibration_lines_surround_k0(n, acs):
    extra = equispaced_mask(n, n, acs=acs).nonzero().flatten()
    frequencies = (extra - n // 2).tolist()
    assert frequencies == list(range(-(acs // 2), acs - acs // 2))


@pytest.mark.parametrize(("n", "r", "acs"), [(64, 4, 0), (64, 4, 8), (60, 7, 3), (8, 8, 0)])
def test_random_lines(n, r, acs):
    masks = [random_mask(n, r, acs, seed) for seed in range(5)]
    assert all(int(m.sum()) == round(n / r) and bool(m[n // 2]) for m in masks)
    assert all(bool(m[n // 2 - acs // 2 : n // 2 - acs // 2 + acs].all()) for m in masks)
    assert torch.equal(masks[3], random_mask(n, r, acs, 3))
    assert n == r or any(not torch.equal(m, masks[0]) for m in masks)


@pytest.mark.parametrize(
    ("shape", "r", "acs"), [((48, 40), 4, 6), ((24, 20), 4, 0), ((33, 17), 6.5, 3), ((16, 16), 100, 0), ((8, 8), 1, 0)]
)
def test_poisson_disc_samples_what_was_asked_for(shape, r, acs):
    mask = poisson_mask(shape, r, acs, seed=1)
    assert mask.dtype == torch.bool and mask.shape == shape and int(mask.sum()) == round(mask.numel() / r)
    top, left = shape[0] // 2 - acs // 2, shape[1] // 2 - acs // 2
    assert bool(mask[top : top + acs, left : left + acs].all()) and bool(mask[shape[0] // 2, shape[1] // 2])
    assert torch.equal(mask, poisson_mask(shape, r, acs, seed=1))
    assert r in (1, 100) or not torch.equal(mask, poisson_mask(shape, r, acs, seed=2))


def test_poisson_disc_is_denser_in_the_centre_and_nowhere_crowded():
    mask = poisson_mask((64, 64), 6)
    centre = mask[16:48, 16:48]
    assert float(centre.float().mean()) > 1.3 * float(mask.float().mean())
    points = mask.nonzero().numpy()
    scattered = (torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) < 1 / 6).nonzero().numpy()
    outer, random = (p[np.abs(p - 32).max(axis=1) > 20] for p in (points, scattered))
    nearest = [KDTree(p).query(p, k=2)[0][:, 1] for p in (outer, random)]
    assert nearest[0].min() >= 2 > nearest[1].min()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: equispaced_mask(250, 4), "R = 4 does not divide H = 250 lines; R could be 2, 5, 10, 25, 50, 125"),
        (lambda: equispaced_mask(7, 2), "only 1"),
        (lambda: equispaced_mask(8, 0), "R = 0"),
        (lambda: equispaced_mask(8, 4, 4), "offset = 4.*0 to 3"),
        (lambda: equispaced_mask(8, 4, -1), "offset = -1"),
        (lambda: equispaced_mask(8, 4, acs=9), "acs = 9.*0 to 8"),
        (lambda: random_mask(8, 4, acs=3), "acs = 3 is impossible"),
        (lambda: random_mask(8, 0), "acceleration = 0"),
        (lambda: random_mask(8, 100), "acceleration = 100"),
        (lambda: poisson_mask((8, 8), 0.5), "acceleration = 0.5"),
        (lambda: poisson_mask((8, 8), 8, acs=3), "acs = 3 is impossible for 8 x 8"),
        (lambda: poisson_mask((8, 8), 1000), "acceleration = 1000"),
        (lambda: poisson_mask((8, 20), 1, acs=9), "acs = 9"),
    ],
)
def test_impossible_masks_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
