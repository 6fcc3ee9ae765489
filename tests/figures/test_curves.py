"""Figures of numbers: the traces carry the numbers given, and wrong tables are refused."""

import numpy as np
import pandas as pd
import pytest

from a2a.common.errors import InputError
from a2a.evaluation.statistics import mean_interval
from a2a.figures import gaussian_posterior, metric_intervals, schedule_curves

MEAN, COV = np.array([0.4, 0.6]), np.array([[0.04, 0.018], [0.018, 0.09]])


def named(figure, name: str) -> list:
    return [trace for trace in figure.data if trace.name == name]


def test_schedule_curves_draw_signal_noise_and_ratio():
    abar = np.linspace(0.999, 0.001, 1000)
    figure = schedule_curves({"cosine": abar, "linear": abar**2})
    assert len(figure.data) == 6
    (signal,), (noise,) = named(figure, "cosine: √ᾱ"), named(figure, "cosine: √(1−ᾱ)")
    np.testing.assert_allclose(signal.y**2 + noise.y**2, 1.0)
    assert signal.y[0] == pytest.approx(np.sqrt(0.999)) and signal.y[-1] == pytest.approx(np.sqrt(0.001))
    assert (signal.x[0], signal.x[-1]) == (0.0, 1.0)
    (ratio,) = named(figure, "cosine")
    assert ratio.y[0] == pytest.approx(10 * np.log10(999), abs=1e-9) and len(figure.to_json()) < 60_000


@pytest.mark.parametrize("bad", [{}, {"x": [0.5, 0.0]}, {"x": [1.1]}, {"x": [[0.5]]}])
def test_schedule_curves_refuse(bad):
    with pytest.raises(InputError):
        schedule_curves(bad)


@pytest.fixture
def table() -> pd.DataFrame:
    """Two methods, two scenarios, five subjects."""
    rng = np.random.default_rng(0)
    rows = [
        (subject, scenario, method, "psnr", 20 + 5 * number + rng.normal())
        for scenario in ("T1", "T1 + T2")
        for number, method in enumerate(("trees", "MDS"))
        for subject in range(5)
    ]
    return pd.DataFrame(rows, columns=["subject", "scenario", "method", "metric", "value"])


def test_metric_intervals_draw_subjects_and_means(table):
    figure = metric_intervals(table)
    assert len(figure.data) == 4 and list(figure.layout.yaxis.ticktext) == ["T1", "T1 + T2"]
    dots, means = figure.data[2:]
    mine = table[(table["method"] == "MDS") & (table["scenario"] == "T1")]["value"]
    assert means.x[0] == pytest.approx(mine.mean())
    reach = means.x[0] - means.error_x.arrayminus[0], means.x[0] + means.error_x.array[0]
    assert reach == pytest.approx(mean_interval(mine))
    assert figure.layout.xaxis.title.text == "PSNR (dB)" and figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert list(dots.x[:5]) == list(mine) and dots.showlegend is False
    assert means.name == "MDS" and means.marker.symbol != figure.data[1].marker.symbol


def test_metric_intervals_refuse(table):
    with pytest.raises(InputError, match="no metric 'ssim'; it has psnr"):
        metric_intervals(table, "ssim")
    with pytest.raises(InputError, match="column 'method'"):
        metric_intervals(table.drop(columns="method"))
    with pytest.raises(InputError, match="occurs twice"):
        metric_intervals(pd.concat([table, table]))


def test_gaussian_posterior_ellipses_have_constant_mahalanobis_distance():
    drawn = np.random.default_rng(0).multivariate_normal(MEAN, COV, 50)
    figure = gaussian_posterior({"MDS": drawn, "MPS": drawn}, MEAN, COV, prior=(MEAN, 2 * COV))
    assert len(figure.data) == 6 and [a.text for a in figure.layout.annotations] == ["MDS", "MPS"]
    curve = named(figure, "exact posterior")[0]
    offset = np.stack([curve.x, curve.y]) - MEAN[:, None]
    distance = np.sqrt(np.einsum("ik,ij,jk->k", offset, np.linalg.inv(COV), offset))
    np.testing.assert_allclose(distance[:100], 1.0, atol=1e-3)
    np.testing.assert_allclose(distance[101:], 2.0, atol=1e-3)
    assert np.isnan(distance[100])


@pytest.mark.parametrize(
    ("samples", "cov"),
    [
        ({}, COV),
        ({"x": np.zeros((5, 3))}, COV),
        ({"x": np.full((5, 2), np.nan)}, COV),
        ({"x": np.zeros((5, 2))}, COV[:1]),
    ],
)
def test_gaussian_posterior_refuses(samples, cov):
    with pytest.raises(InputError):
        gaussian_posterior(samples, MEAN, cov)
