"""What is measured of several samples of each slice."""

import numpy as np
import torch

from a2a.benchmark.measures import of_samples
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2", "CT")


def test_crps_and_coverage_are_those_of_each_subjects_head():
    draw = torch.Generator().manual_seed(0)
    truth = torch.zeros(4, 3, 16, 16, dtype=torch.float64)
    truth[:, :, 4:12, 4:12] = 0.5 + 0.1 * torch.randn(4, 3, 8, 8, generator=draw, dtype=torch.float64)
    spread = torch.tensor([0.1, 0.02, 0.1], dtype=torch.float64)[:, None, None]
    samples = 0.5 + spread * torch.randn(9, 4, 3, 16, 16, generator=draw, dtype=torch.float64)
    found = of_samples(truth, samples, np.array(["a", "b", "a", "b"]), SPEC, ("T2", "CT"))
    assert set(found["metric"]) == {"crps", "covered_80"} and len(found) == 2 * 2 * 2
    value = found.groupby(["metric", "modality"])["value"].mean()
    assert abs(value["covered_80", "CT"] - 0.8) < 0.06 and value["covered_80", "T2"] < 0.3
    assert value["crps", "CT"] < value["crps", "T2"]
    inside, cut = (truth > 0.1).any(dim=1), slice(0, 4, 2)  # the slices of a
    x, s = truth[cut, 2][inside[cut]], samples[:, cut, 2][:, inside[cut]]
    by_hand = (s - x).abs().mean() - (s[:, None] - s).abs().sum(dim=(0, 1)).mean() / (2 * 9 * 8)
    a = found.query("subject == 'a' and metric == 'crps' and modality == 'CT'")["value"].item()
    assert abs(a - float(by_hand)) < 1e-12


def test_dark_slices_have_no_head():
    dark = torch.zeros(1, 3, 8, 8)
    assert of_samples(dark, dark.expand(9, -1, -1, -1, -1), np.array(["a"]), SPEC, ("CT",)).empty
