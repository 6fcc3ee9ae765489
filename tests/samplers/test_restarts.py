"""A restart goes on from the finished sample, noised to the time at which it begins."""

import torch
from torch import Tensor

from a2a.common.rng import spawn
from a2a.forward.observation import Observation
from a2a.forward.stack import StackSpec
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers.reverse import reverse

SPEC = StackSpec.of("T1", "T2")
FINISHED = 1000.0


class Watched:
    """A step that notes its beginning and always makes the same."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, Tensor]] = []

    def step(self, x: Tensor, z: Tensor, t: int, s: int) -> tuple[Tensor, Tensor]:
        self.begun.append((t, x.clone()))
        made = torch.full_like(x, FINISHED)
        return made, made


def test_a_restart_begins_with_the_noised_sample():
    prior = GaussianPrior.correlated(SPEC, torch.full((2, 32, 32), 0.4), 0.1, 0.5, 0.0)
    seen = Observation.simulate(torch.rand(1, 2, 32, 32), "nothing", SPEC)
    step = Watched()
    reverse(prior, seen, lambda part, draws: step, "", steps=4, restarts=1, samples=1, generators=spawn(0, 1), batch=1)
    (_, first), _, (t, again), _ = step.begun
    abar = prior.schedule.abar(t)
    assert t == 850 and abs(first.mean().item()) < 0.1
    assert abs(again.mean().item() - abar**0.5 * FINISHED) < 0.1
    assert abs(again.std().item() - (1 - abar) ** 0.5) < 0.1
