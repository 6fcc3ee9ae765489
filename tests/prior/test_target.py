"""What a network is shown and asked: the right answer gives back the stack."""

import pytest
import torch

from a2a.common.errors import InputError
from a2a.prior.linear import LinearEstimate
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.target import Target

SCHEDULE = NoiseSchedule()
LINEAR = LinearEstimate(torch.full((2, 8, 8), 0.5), 0.01 * torch.eye(2)[:, :, None, None].expand(2, 2, 8, 8) + 0.005)
TARGETS = {
    "noise": Target(SCHEDULE),
    "velocity": Target(SCHEDULE, "velocity"),
    "clean": Target(SCHEDULE, "clean"),
    "corrected": Target(SCHEDULE, "clean", LINEAR),
}


def asked(target: Target, times: torch.Tensor) -> tuple:
    """Some stacks, what is shown of them, the line and the right answer."""
    draw = torch.Generator().manual_seed(0)
    clean = torch.rand(len(times), 2, 8, 8, generator=draw, dtype=torch.float64) - 0.5
    noise = torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    shown, line = target.shown(SCHEDULE.diffuse(clean, times, noise), times)
    return clean, shown, line, target.truth(clean, noise, times, line)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("times", [[[0], [500]], [[999], [20]], [[0, 999], [300, 10]]])
def test_the_right_answer_gives_back_the_stack(name, times):
    clean, shown, (offset, slope), truth = asked(TARGETS[name], torch.tensor(times))
    torch.testing.assert_close(offset + slope * truth, clean, rtol=0, atol=1e-9)
    assert shown.shape[1] == 2 * TARGETS[name].stacks


def test_the_velocity_is_the_correction_of_a_stack_of_unit_variance():
    """Mean 0 and covariance I in the model's range: the estimate is sqrt(abar) x_t, its deviation the noise's."""
    unit = LinearEstimate(torch.full((2, 8, 8), 0.5), 0.25 * torch.eye(2)[:, :, None, None].expand(2, 2, 8, 8).clone())
    times = torch.tensor([[400, 900]])
    clean, _, corrected, answer = asked(Target(SCHEDULE, "clean", unit), times)
    _, _, velocity, opposite = asked(TARGETS["velocity"], times)
    torch.testing.assert_close(corrected[0], velocity[0])
    torch.testing.assert_close(answer, -opposite)


def test_right_corrections_have_the_variance_of_one():
    draw, times = torch.Generator().manual_seed(1), torch.tensor([[600, 30]]).expand(400, 2)
    root = torch.linalg.cholesky(LINEAR.covariance[:, :, 0, 0].double())
    clean = 2 * torch.einsum("ij,bjhw->bihw", root, torch.randn(400, 2, 8, 8, generator=draw, dtype=torch.float64))
    noise = torch.randn(clean.shape, generator=draw, dtype=torch.float64)
    target = TARGETS["corrected"]
    _, line = target.shown(SCHEDULE.diffuse(clean, times, noise), times)
    truth = target.truth(clean, noise, times, line)
    assert truth.var(dim=(0, 2, 3)).sub(1).abs().max() < 0.03


@pytest.mark.parametrize("name", ["velocity", "clean"])
def test_errors_of_a_clean_stack_count_as_those_of_its_velocity(name):
    times = torch.tensor([[100], [800]])
    clean, _, line, truth = asked(TARGETS[name], times)
    wrong = clean + 0.1
    answer = (wrong - line[0]) / line[1]
    loss = (TARGETS[name].weight(times, line, clean) * (answer - truth).square()).mean(dim=(1, 2, 3))
    noise = 1 - torch.tensor([SCHEDULE.abar(100), SCHEDULE.abar(800)], dtype=torch.float64)
    torch.testing.assert_close(loss, 0.01 / noise)


def test_errors_of_a_correction_count_by_what_is_left_of_the_modality():
    times, uneven = torch.tensor([[999, 0]]), torch.linspace(0.5, 2, 8)
    target = Target(SCHEDULE, "clean", LinearEstimate(LINEAR.mean, LINEAR.covariance * uneven))
    clean, _, line, truth = asked(target, times)
    answer = (clean + 0.1 - line[0]) / line[1]
    loss = (target.weight(times, line, clean) * (answer - truth).square()).mean(dim=(2, 3))
    torch.testing.assert_close(loss, 0.01 / line[1].square().mean(dim=(2, 3)))


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(InputError, match="predicts: 'score' is neither of noise, velocity, clean"):
        Target(SCHEDULE, "score")
    with pytest.raises(InputError, match="predicts: 'velocity' corrects no linear estimate; it must be 'clean'"):
        Target(SCHEDULE, "velocity", LINEAR)
