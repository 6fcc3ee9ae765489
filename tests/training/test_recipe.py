"""The recipe of the paper, shrunk until it fits a test: it must learn a few slices by heart."""

import csv

import numpy as np
import pytest

from a2a.common.paths import repository
from a2a.methods.recipes import load_config
from a2a.training import PriorObjective, train
from a2a.training.config import NetworkSize
from a2a.training.loop import LOG

RECIPE = repository("experiments", "priors", "any2all-paper.yaml")


def test_it_is_the_network_of_adm_at_256():
    size = load_config(RECIPE).network
    assert (size.width, size.multipliers, size.blocks, size.head_width) == (256, (1, 1, 2, 2, 4, 4), 2, 64)
    assert {256 // factor for factor in size.attention} == {32, 16, 8}


@pytest.mark.long
def test_shrunk_it_learns_four_slices_by_heart(make_store, tmp_path):
    recipe, side = load_config(RECIPE), np.linspace(0, 1, 16)
    slices = np.stack(
        [[np.add.outer(a * side, b * side) / 2, np.outer(side, 1 - a * side)] for a in (0, 1) for b in (0, 1)]
    )
    size = recipe.network.model_dump() | {
        "width": 16,
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (2,),
        "head_width": 8,
    }
    smaller = {"steps": 150, "batch": 8, "lr": 3e-3, "warmup": 10, "log_every": 30, "checkpoint_every": 150}
    changes = smaller | {"network": NetworkSize(**size), "precision": "float32", "ema": 0.99}
    train(PriorObjective(recipe.model_copy(update=changes), make_store(slices, slices)), tmp_path / "run")
    rows = list(csv.DictReader(open(tmp_path / "run" / LOG, encoding="utf-8")))
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < 0.25 * losses[0]
