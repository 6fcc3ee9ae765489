"""Tables over time: what is refused, what lies between the rows, and the way to a file and back."""

import numpy as np
import pytest
import torch

from a2a.common.errors import InputError
from a2a.prior.calibration import Calibration, at_all_times

TIMES = (0, 4, 9)
PARTS, ALONG = torch.rand(3, 2, 8, 8), torch.rand(3) + 0.1
ERROR, GAIN, MEAN = torch.rand(3, 5, 2, 2).double(), torch.rand(3, 2).double(), torch.rand(2, 8, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": (0, 9, 4)}, "times must increase"),
        ({"times": (0, 4, 4)}, "times must increase"),
        ({"times": (0, 4)}, "a row for each of the 2 times"),
        ({"error": ERROR[:2]}, "a row for each of the 3 times"),
        ({"error": ERROR[..., :1]}, "a row for each of the 3 times"),
        ({"error": ERROR[:, 0]}, "a row for each of the 3 times"),
        ({"error": ERROR * np.nan}, "must be finite"),
        ({"gain": GAIN[:2]}, "a row for each of the 3 times"),
        ({"gain": GAIN[:, :1]}, "a row for each of the 3 times"),
        ({"gain": GAIN * np.inf}, "must be finite"),
        ({"gain": None}, "a gain and a mean, or neither"),
        ({"mean": None}, "a gain and a mean, or neither"),
        ({"components": PARTS}, "components come with their variances"),
        ({"components": PARTS[:, :1], "variances": ALONG}, "a row for each of the 3 times"),
        ({"components": PARTS, "variances": ALONG[:2]}, "a row for each of the 3 times"),
        ({"components": PARTS[..., :3], "variances": ALONG}, "a row for each of the 3 times"),
        ({"components": PARTS[..., 0], "variances": ALONG}, "a row for each of the 3 times"),
        ({"components": PARTS, "variances": -ALONG}, "a row for each of the 3 times"),
        ({"mean": None, "gain": None, "components": PARTS, "variances": ALONG}, "and with a mean"),
        ({"mean": MEAN[:1]}, "a row for each of the 3 times"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        Calibration(**({"times": TIMES, "error": ERROR, "gain": GAIN, "mean": MEAN} | change))


def test_in_between_it_is_a_straight_line():
    every = at_all_times(TIMES, ERROR, 10)
    assert every.shape == (10, 5, 2, 2) and every.dtype == torch.float64
    assert torch.equal(every[list(TIMES)], ERROR)
    torch.testing.assert_close(every[3], 0.25 * ERROR[0] + 0.75 * ERROR[1])


@pytest.mark.parametrize(("gain", "mean"), [(GAIN, MEAN), (None, None)])
def test_it_survives_as_tensors_of_a_file(gain, mean):
    known = Calibration(TIMES, ERROR, gain, mean)
    tensors = {"weight": torch.zeros(1)} | known.tensors()
    again = Calibration.taken_from(TIMES, tensors)
    assert set(tensors) == {"weight"}
    assert again.times == TIMES and torch.equal(again.error, ERROR)
    assert again.gain is None if gain is None else torch.equal(again.gain, gain)


def test_components_have_the_number_format_of_the_weights():
    known = Calibration(TIMES, ERROR, GAIN, MEAN, PARTS, ALONG)
    for dtype, error in ((torch.float32, 0.0), (torch.float16, 1e-3)):
        tensors = known.tensors(dtype)
        assert tensors["calibration.components"].dtype == dtype
        again = Calibration.taken_from(TIMES, tensors)
        assert again.components.dtype == torch.float32
        torch.testing.assert_close(again.components, PARTS, atol=error, rtol=0)
