"""The cost of experiments, extrapolated from what was measured."""

import pandas as pd
import pytest

from a2a.benchmark.budget import budget, makespan, paper_hours, rates
from a2a.benchmark.experiment import Experiment
from a2a.common.errors import InputError

MEASURED = pd.DataFrame(
    {
        "job": ["a", "a", "b", "c", "d"],
        "method": ["any2all-mds", "any2all-mds", "any2all-mds", "mmgan", "mmgan"],
        "estimate": "single sample",
        "slices": [10, 10, 10, 10, 10],
        "evaluations": [5, 5, 10, 1, 1],
        "seconds": [50.0, 50.0, 300.0, 20.0, None],
    }
)
TWO = [
    {"given": "T1", "targets": ["CT"], "steps": 7, "every": 2},
    {"given": "T1", "targets": ["CT"], "method": "mmgan"},
]


def test_a_rate_is_the_median_over_jobs_and_refusals_do_not_count():
    found = rates(MEASURED)
    assert found.seconds.to_dict() == {"any2all-mds": 2.0, "mmgan": 2.0}


def test_a_budget_grows_with_slices_steps_and_samples():
    experiment = Experiment(name="e", jobs=TWO)
    found = budget(experiment, 100, rates(MEASURED)).set_index("method")
    assert found.evaluations.to_dict() == {"any2all-mds": 350, "mmgan": 100}
    assert found.hours.to_dict() == pytest.approx({"any2all-mds": 700 / 3600, "mmgan": 200 / 3600})
    doubled = Experiment(name="e", jobs=[job | {"samples": 2} for job in TWO])
    assert budget(doubled, 100, rates(MEASURED)).hours.sum() == pytest.approx(2 * found.hours.sum())
    with pytest.raises(InputError, match="no measured time of m2dn"):
        budget(Experiment(name="e", jobs=[TWO[1] | {"method": "m2dn"}]), 100, rates(MEASURED))


@pytest.mark.parametrize("nodes", [1, 2, 3, 10])
def test_more_nodes_help_until_each_job_has_its_own(nodes):
    hours = [5.0, 4.0, 3.0, 3.0]
    assert max(max(hours), sum(hours) / nodes) <= makespan(hours, nodes) <= makespan(hours, max(1, nodes - 1))
    assert makespan(hours, 1) == sum(hours) and makespan(hours, 4) == 5.0


def test_the_papers_network_on_a_gpu_is_its_operations_over_the_speed():
    recipe = {"tflop_per_image": 3.0, "assumed_tflops": 100.0, "here_gflops": 100.0}
    assert paper_hours({"any2all-mds": 3600 * 100, "mmgan": 1e9}, recipe, "gpu") == pytest.approx(1.0)
    assert paper_hours({"any2all-mps": 3600 * 100}, recipe, "cpu") == pytest.approx(2000.0)
