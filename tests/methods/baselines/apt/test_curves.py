"""The curves and the inversion by which one contrast is made to look like another."""

import pytest
import torch

from a2a.methods.baselines.apt.curves import DIAGONAL, NEGATION, S_SHAPED, TRANSFORMS, bezier, inverted, transformed


def test_points_on_the_diagonal_make_the_identity_and_the_negation():
    x = torch.linspace(-1, 1, 999)
    torch.testing.assert_close(bezier(x, DIAGONAL), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(bezier(x, NEGATION), -x, rtol=0, atol=1e-6)
    between = ((-1, -1), (-0.5, -0.5), (0.5, 0.5), (1, 1))
    torch.testing.assert_close(bezier(x, between), x, rtol=0, atol=1e-6)


def test_the_s_curve_has_the_values_of_the_sheet_and_is_odd():
    x = torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(bezier(x, S_SHAPED), torch.tensor([0.0908, 0.2294, 0.4843]), rtol=0, atol=6e-5)
    torch.testing.assert_close(bezier(-x, S_SHAPED), -bezier(x, S_SHAPED))


def test_inversion_leaves_the_background_black_and_takes_the_brightest_to_zero():
    image = torch.tensor([[[0.0, 0.04, 0.05], [0.5, 0.7, 0.8]]])
    wanted = torch.tensor([[[0.0, 0.0, 0.75], [0.3, 0.1, 0.0]]])
    torch.testing.assert_close(inverted(image), wanted)
    both = inverted(torch.cat([image, image / 2]))
    torch.testing.assert_close(both[1, 1], wanted[0, 1] / 2)  # the maximum is that of each image


@pytest.mark.parametrize("kind", range(len(TRANSFORMS)))
def test_every_transform_keeps_images_in_range(kind):
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    image[:, :2] = 0
    found = transformed(image, kind)
    assert (
        found.shape == image.shape and found.min() >= -1e-6 and found.max() <= 1 and (found[:, :2].abs() < 1e-6).all()
    )
    assert torch.equal(found, image) == (kind == 0)
