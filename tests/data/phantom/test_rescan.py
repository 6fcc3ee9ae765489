"""The same head as another scanner would have written it."""

import nibabel as nib
import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.phantom.rescan import rescan
from a2a.data.volumes.nifti import Volume, on_one_grid, to_ras


@pytest.fixture
def ramp() -> Volume:
    """A volume whose value is a linear function of the place in the world."""
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -40, -50, -10
    i, j, k = np.indices((40, 50, 20))
    return Volume((i * 2 - 40 + 10 * (j * 2 - 50) + 100 * (k * 3 - 10)).astype(np.float32), affine)


def test_equal_voxels_and_axes_change_nothing(ramp):
    again = rescan(ramp, (2, 2, 3))
    assert on_one_grid(ramp, again)
    np.testing.assert_array_equal(again.data, ramp.data)


@pytest.mark.parametrize("axes", ["LPS", "PIR", "ASL"])
def test_other_axes_and_voxels_show_the_same_places(ramp, axes):
    again = rescan(ramp, (1.5, 2.5, 4.0), axes)
    assert "".join(nib.aff2axcodes(again.affine)) == axes
    ras = to_ras(again)
    assert ras.spacing == pytest.approx((1.5, 2.5, 4.0))
    places = np.argwhere(np.ones(ras.data.shape, bool))
    x, y, z = (np.c_[places, np.ones(len(places))] @ ras.affine.T)[:, :3].T
    inner = (abs(x) < 35) & (abs(y + 1) < 45) & (z > -8) & (z < 44)
    assert inner.sum() > 1000
    np.testing.assert_allclose(ras.data.ravel()[inner], (x + 10 * y + 100 * z)[inner], rtol=1e-4, atol=0.1)


def test_a_movement_takes_the_head_along(ramp):
    movement = np.eye(4)
    movement[:3, 3] = 4, 0, 0
    moved = rescan(ramp, (2, 2, 3), movement=movement)
    np.testing.assert_allclose(moved.data[2:], ramp.data[:-2], rtol=1e-5, atol=1e-2)
    assert (moved.data[0] == ramp.data.min()).all()


@pytest.mark.parametrize(
    ("voxel", "axes", "message"),
    [((1, 1, 1), "RLS", "axes must name"), ((1, 0, 1), "RAS", "voxel_mm must be positive")],
)
def test_what_no_scanner_does_is_refused(ramp, voxel, axes, message):
    with pytest.raises(InputError, match=message):
        rescan(ramp, voxel, axes)
