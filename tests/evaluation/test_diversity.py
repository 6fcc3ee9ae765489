"""Nearest neighbours: memorisation found where there is some, precision and recall where they are known."""

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.diversity import memorisation, nearest_training, precision_recall


@pytest.fixture(scope="module")
def train() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(700, 2, 8, 8)).astype(np.float16)  # two pieces of work


def test_nearest_by_brute_force(train):
    queries = np.random.default_rng(1).uniform(size=(5, 2, 8, 8))
    distances, rows = nearest_training(train, queries)
    for query, distance, row in zip(queries, distances, rows, strict=True):
        both = [np.sqrt(np.square(q - train.astype(float)).mean(axis=(1, 2, 3))) for q in (query, query[..., ::-1])]
        assert distance == pytest.approx(np.min(both), rel=1e-6)
        assert row == np.argmin(np.minimum(*both))


def test_copies_are_found_mirrored_ones_too(train):
    distances, rows = nearest_training(train, np.stack([train[650], train[3, ..., ::-1]]))
    assert rows.tolist() == [650, 3] and (distances == 0).all()


def test_a_prior_that_repeats_its_data_is_told_from_one_that_does_not(train):
    rng = np.random.default_rng(2)
    test, fresh = rng.uniform(size=(2, 100, 2, 8, 8))
    copied = train[:50].astype(float) + 0.01 * rng.standard_normal((50, 2, 8, 8))
    honest = memorisation(train, test, fresh).set_index("set")
    caught = memorisation(train, test, np.concatenate([copied, fresh[:50]])).set_index("set")
    assert honest.loc["generated", "nearer"] <= 0.06 and honest.loc["held out", "n"] == 100
    assert caught.loc["generated", "nearer"] >= 0.5
    assert caught.loc["generated", "smallest"] < 0.011 < 0.1 < caught.loc["held out", "smallest"]


def test_precision_and_recall_of_known_sets():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((2, 300, 4))
    assert min(precision_recall(x, y)) > 0.8
    assert precision_recall(x, x) == (1.0, 1.0)
    assert precision_recall(x, y + 100) == (0.0, 0.0)
    precision, recall = precision_recall(x, 0.2 * y)  # good ones, all alike
    assert precision > 0.95 and recall < 0.3
    assert precision_recall(0.2 * y, x) == (recall, precision)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda t: nearest_training(t, t[:, :1]), r"got \(700, 2, 8, 8\) and \(700, 1, 8, 8\)"),
        (lambda t: nearest_training(t, t[:0]), "got"),
        (lambda t: nearest_training(t, t[:3] * np.float16(np.nan)), "NaN"),
        (lambda t: nearest_training(t[:3] * np.float16(np.nan), t[:3]), "training stacks have NaN"),
        (lambda t: precision_recall(np.zeros((3, 2)), np.zeros((9, 2))), "3 neighbours"),
        (lambda t: precision_recall(np.zeros((9, 2)), np.zeros((9, 3))), r"\(9, 2\) and \(9, 3\)"),
        (lambda t: precision_recall(np.zeros((9, 2)), np.full((9, 2), np.nan)), "NaN"),
    ],
)
def test_bad_input(call, says, train):
    with pytest.raises(InputError, match=says):
        call(train)
