"""The entropy curriculum."""

import numpy as np
import pytest

from a2a.common.rng import generator
from a2a.methods.baselines.entropy import entropies, rows_of_entropy


@pytest.mark.parametrize("bits", [0, 1, 3, 5])
def test_equally_frequent_grey_levels_have_the_entropy_of_their_number(bits):
    levels = np.linspace(0, 1, 2**bits) if bits else np.zeros(1)
    image = np.resize(levels, (1, 32, 32)).astype(np.float16)
    assert entropies(image).tolist() == [bits]


def test_the_mean_entropy_of_a_batch_rises_from_the_lowest_to_the_highest():
    values = np.random.default_rng(0).integers(2, 8, 500)
    means = [
        np.mean([values[rows_of_entropy(values, progress, 64, generator(0, step))].mean() for step in range(5)])
        for progress in np.linspace(0, 1, 6)
    ]
    assert np.all(np.diff(means) > 0.3)
    assert means[0] < 2.7 and means[-1] > 6.3


def test_levels_without_slices_are_served_by_the_nearest():
    values = np.array([1, 1, 6, 6, 6])
    assert set(rows_of_entropy(values, 0.1, 50, generator(3))) == {0, 1}
    assert set(rows_of_entropy(values, 0.9, 50, generator(3))) == {2, 3, 4}
    assert set(rows_of_entropy(np.array([4, 4]), 0.5, 50, generator(3))) == {0, 1}


def test_draws_depend_on_the_generator_alone():
    values = np.arange(2, 9).repeat(10)
    assert rows_of_entropy(values, 0.4, 9, generator(3)) == rows_of_entropy(values, 0.4, 9, generator(3))
    assert rows_of_entropy(values, 0.4, 9, generator(3)) != rows_of_entropy(values, 0.4, 9, generator(4))
