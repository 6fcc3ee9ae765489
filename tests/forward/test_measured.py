"""Arrays of a person's own: NumPy or PyTorch, of any byte order and layout, checked where they come in."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.forward.measured import KSpace, as_tensor
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling

SPEC = StackSpec.of("T1", "T2FLAIR")
SENSE = Undersampling().operator(16, 12)
RNG = np.random.default_rng(7)
T1 = 0.3 * RNG.random((3, 16, 12), dtype=np.float32)
Y = SENSE.forward(torch.from_numpy(T1)).numpy()
MASK, MAPS = SENSE.mask.numpy(), SENSE.maps.numpy()


def test_numpy_arrays_are_observed_as_tensors_are():
    images = Observation.build(SPEC, {"T1": T1}, {"FLAIR": KSpace(Y, MASK, MAPS, 0.01)})
    tensors = KSpace(*map(torch.from_numpy, (Y, MASK, MAPS)), 0.01)
    same = Observation.build(SPEC, {"T1": torch.from_numpy(T1)}, {"FLAIR": tensors})
    assert all(torch.equal(a, b) for a, b in zip(images.data, same.data, strict=True))
    assert torch.equal(images.adjoint, same.adjoint)
    stacks = np.stack([T1, T1], axis=1)
    drawn = (Observation.simulate(x, "T1 + y(T2FLAIR)", SPEC) for x in (stacks, torch.from_numpy(stacks)))
    assert all(torch.equal(a, b) for a, b in zip(*(seen.data for seen in drawn), strict=True))


@pytest.mark.parametrize(
    "spelled", [T1.astype(">f4"), np.asfortranarray(T1), T1[:, ::-1][:, ::-1], np.repeat(T1, 2, 2)[:, :, ::2]]
)
def test_byte_order_and_layout_do_not_matter(spelled):
    assert np.array_equal(as_tensor("x", spelled).numpy(), T1)


def test_an_observation_does_not_change_with_the_array_it_came_from():
    own = T1.copy()
    seen = Observation.build(SPEC, {"T1": own}, {})
    own[:] = 0
    assert np.array_equal(seen.data[0].numpy(), T1)


def build(**change: object) -> Observation:
    """Build an observation of T1 and FLAIR with something changed."""
    given = {"t1": T1, "y": Y, "mask": MASK, "maps": MAPS} | change
    kspace = given.get("kspace", KSpace(given["y"], given["mask"], given["maps"], 0.01))
    return Observation.build(SPEC, {"T1": given["t1"]}, {"T2FLAIR": kspace})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"t1": T1.tolist()}, "Image of T1 is of type list; expected a NumPy array or a tensor."),
        ({"t1": T1.astype(str)}, "Image of T1 is an array of <U.*, not of numbers."),
        ({"t1": T1[0]}, r"Image of T1 is torch.float32 \(16, 12\); expected float32 or float64 \(B, H, W\)"),
        ({"t1": (255 * T1).astype(np.uint8)}, "Image of T1 is torch.uint8 .* expected float32 or float64"),
        ({"t1": 255 * T1}, r"Image of T1 has values from .* scale it to \[0, 1\] first."),
        ({"t1": T1[:, :8]}, r"Sizes \(B, H, W\) must all be"),
        ({"y": Y.real}, r"k-space of T2FLAIR is torch.float32 .*; expected complex \(B, 8, 16, 12\) to fit its maps."),
        ({"y": Y[:, :4]}, r"k-space of T2FLAIR is .*\(3, 4, 16, 12\); expected complex \(B, 8, 16, 12\)"),
        ({"y": None}, "data of k-space is of type NoneType; expected a NumPy array or a tensor."),
        ({"mask": MASK.astype(int)}, "k-space of T2FLAIR: mask must be boolean, got torch.int64; write mask != 0."),
        ({"mask": MASK[:8]}, r"k-space of T2FLAIR: mask has shape \(8,\); expected \(16,\) or \(16, 12\)"),
        ({"maps": MAPS.real}, r"k-space of T2FLAIR: maps must be complex \(coils, H, W\), got torch.float32"),
        ({"kspace": Y}, "k-space of T2FLAIR is of type ndarray; expected a KSpace."),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_sentence(change, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        build(**change)
    assert "\n" not in str(refused.value)
