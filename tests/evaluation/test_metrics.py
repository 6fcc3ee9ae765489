"""Metrics against the worked numbers, scikit-image, torchmetrics and their own invariances."""

import numpy as np
import pandas as pd
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from a2a.common.errors import InputError
from a2a.evaluation.metrics import IDENTICAL_DB, mae, psnr, ssim, subject_table, summary
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR")


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Target and prediction of the worked example."""
    i, j = np.mgrid[:64, :64].astype(float)
    x = 0.5 + 0.4 * np.sin(2 * np.pi * i / 16) * np.cos(2 * np.pi * j / 20)
    return x, np.clip(0.95 * x + 0.03 + 0.05 * np.sin(2 * np.pi * (i + 2 * j) / 7), 0, 1)


@pytest.fixture(scope="module")
def stacks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Target, prediction (7, 2, 20, 24) and the slices' subjects, interleaved."""
    rng = np.random.default_rng(3)
    target = rng.uniform(size=(7, 2, 20, 24))
    noise = 0.1 * rng.standard_normal(target.shape) * rng.uniform(0.2, 2.0, (7, 2, 1, 1))
    return target, target + noise, np.array(["b", "a", "b", "c", "a", "b", "c"])


def test_worked_numbers(pair):
    x, y = pair
    assert psnr(x, y) == pytest.approx(28.6095, abs=5e-5)
    assert ssim(x, y) == pytest.approx(0.959233, abs=5e-7)
    assert mae(x, y) == pytest.approx(0.0326424, abs=5e-8)


def test_black_frame_changes_the_numbers_as_stated(pair):
    framed_x, framed_y = (np.pad(image, 32) for image in pair)
    assert psnr(framed_x, framed_y) == pytest.approx(34.630, abs=5e-4)
    assert psnr(framed_x, framed_y) - psnr(*pair) == pytest.approx(20 * np.log10(2), abs=1e-12)
    assert ssim(framed_x, framed_y) == pytest.approx(0.98897, abs=5e-6)


def test_agrees_with_scikit_image(pair):
    rng = np.random.default_rng(0)
    noisy = rng.uniform(size=(33, 47)), rng.uniform(size=(33, 47))
    for x, y in (pair, noisy):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1.0), abs=1e-10)
        assert ssim(x, y) == pytest.approx(structural_similarity(x, y, data_range=1.0, **options), abs=1e-10)


def test_psnr_agrees_with_torchmetrics(stacks):
    from torchmetrics.functional.image import peak_signal_noise_ratio as reference

    x, y = (torch.from_numpy(a).reshape(-1, 1, 20, 24) for a in stacks[:2])
    expected = reference(y.clip(0, 1), x, data_range=1.0, dim=(1, 2, 3), reduction="none")
    np.testing.assert_allclose(psnr(x, y)[:, 0], expected.numpy(), atol=1e-5)  # theirs: float32


@pytest.mark.parametrize("metric", [psnr, ssim, mae])
def test_leading_shape_and_independence_of_the_batch(metric, stacks):
    x, y, _ = stacks
    together = metric(x, y)
    assert together.shape == (7, 2) and together.dtype == np.float64
    assert together[4, 1] == pytest.approx(metric(x[4, 1], y[4, 1]), rel=1e-12)
    np.testing.assert_allclose(metric(x[::-1], y[::-1])[::-1], together, rtol=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim, mae])
def test_inputs_are_kept_and_tensors_equal_arrays(metric, stacks):
    x, y = (torch.from_numpy(a.astype(np.float32)).requires_grad_() for a in stacks[:2])
    before = y.detach().clone()
    np.testing.assert_array_equal(metric(x, y), metric(x.detach().numpy(), y.detach().numpy()))
    assert torch.equal(y.detach(), before) and float(y.detach().min()) < 0


@pytest.mark.parametrize("metric", [psnr, ssim, mae])
def test_prediction_is_clipped_and_metric_is_symmetric_inside_the_range(metric, stacks):
    x, y, _ = stacks
    inside = y.clip(0, 1)
    np.testing.assert_array_equal(metric(x, y), metric(x, inside))
    np.testing.assert_allclose(metric(x, inside), metric(inside, x), rtol=1e-12)


def test_identical_images(pair):
    x, _ = pair
    assert psnr(x, x) == IDENTICAL_DB and ssim(x, x) == pytest.approx(1.0, abs=1e-12) and mae(x, x) == 0.0


def test_more_noise_is_worse(pair):
    x, _ = pair
    noise = np.random.default_rng(1).standard_normal(x.shape)
    levels = [0.01, 0.03, 0.1]
    assert np.all(np.diff([float(psnr(x, x + s * noise)) for s in levels]) < 0)
    assert np.all(np.diff([float(ssim(x, x + s * noise)) for s in levels]) < 0)
    assert np.all(np.diff([float(mae(x, x + s * noise)) for s in levels]) > 0)


@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        (np.zeros((16, 16)), np.zeros((16, 15)), "one shape"),
        (np.zeros((16, 16)), np.full((16, 16), np.nan), "prediction has NaN"),
        (np.full((16, 16), np.inf), np.zeros((16, 16)), "target has NaN or infinite"),
        (np.zeros(16), np.zeros(16), "shape"),
        (np.zeros((0, 16, 16)), np.zeros((0, 16, 16)), "shape"),
    ],
)
@pytest.mark.parametrize("metric", [psnr, ssim, mae])
def test_bad_images(metric, target, prediction, message):
    with pytest.raises(InputError, match=message):
        metric(target, prediction)


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(InputError, match="at least 11 x 11"):
        ssim(np.zeros((11, 10)), np.zeros((11, 10)))


def test_subject_psnr_comes_from_the_pooled_error(stacks):
    x, y, subjects = stacks
    table = subject_table(x, y, subjects, SPEC).set_index(["subject", "modality", "metric"])["value"]
    assert len(table) == 3 * 2 * 4
    mine = subjects == "b"
    error = np.mean((x[mine, 1] - y[mine, 1].clip(0, 1)) ** 2)
    assert table["b", "T2FLAIR", "psnr"] == pytest.approx(10 * np.log10(1 / error), rel=1e-12)
    assert table["b", "T2FLAIR", "psnr_slice"] == pytest.approx(psnr(x[mine, 1], y[mine, 1]).mean(), rel=1e-12)
    assert table["b", "T2FLAIR", "psnr_slice"] > table["b", "T2FLAIR", "psnr"]
    assert table["a", "T1", "ssim"] == pytest.approx(ssim(x[[1, 4], 0], y[[1, 4], 0]).mean(), rel=1e-12)


def test_subject_table_of_some_modalities_and_any_slice_order(stacks):
    x, y, subjects = stacks
    order = np.random.default_rng(0).permutation(len(x))
    some = subject_table(x, y, subjects, SPEC, modalities=["flair"])
    assert set(some["modality"]) == {"T2FLAIR"}
    shuffled = subject_table(x[order], y[order], subjects[order], SPEC, modalities=["flair"])
    pd.testing.assert_frame_equal(
        some.sort_values(["subject", "metric"], ignore_index=True),
        shuffled.sort_values(["subject", "metric"], ignore_index=True),
    )


def test_subject_table_refuses_what_does_not_fit(stacks):
    x, y, subjects = stacks
    with pytest.raises(InputError, match="one subject id for each"):
        subject_table(x, y, subjects[:-1], SPEC)
    with pytest.raises(InputError, match="needs stacks"):
        subject_table(x, y, subjects, StackSpec.of("T1"))
    with pytest.raises(InputError, match="this stack has T1, T2FLAIR"):
        subject_table(x, y, subjects, SPEC, modalities=["PET"])


def _table(values, **labels) -> pd.DataFrame:
    rows = {"subject": np.arange(len(values)), "modality": "T1", "metric": "psnr", "value": values}
    return pd.DataFrame(rows | labels)


def test_summary_mean_sd_and_interval_of_known_data():
    values = np.random.default_rng(5).normal(30.0, 2.0, 200)
    (row,) = summary(_table(values)).to_dict("records")
    assert row["mean"] == pytest.approx(values.mean()) and row["sd"] == pytest.approx(values.std(ddof=1))
    half = 1.972 * values.std(ddof=1) / np.sqrt(200)  # t with 199 degrees of freedom
    assert row["low"] == pytest.approx(values.mean() - half, abs=1e-3)
    assert row["high"] == pytest.approx(values.mean() + half, abs=1e-3)
    assert row["subjects"] == 200 and row["identical"] == 0


def test_summary_groups_by_every_label_and_is_reproducible():
    rng = np.random.default_rng(0)
    table = pd.concat([_table(rng.normal(size=6), method=method) for method in ("mds", "mps")])
    first, second = summary(table), summary(table)
    assert list(first["method"]) == ["mds", "mps"] and first["subjects"].eq(6).all()
    pd.testing.assert_frame_equal(first, second)
    assert (first["low"] < first["mean"]).all() and (first["mean"] < first["high"]).all()


def test_summary_of_degenerate_samples():
    (one,) = summary(_table([31.0])).to_dict("records")
    assert one["mean"] == 31.0 and np.isnan([one["sd"], one["low"], one["high"]]).all()
    (same,) = summary(_table([IDENTICAL_DB] * 4)).to_dict("records")
    assert (same["low"], same["high"], same["sd"], same["identical"]) == (IDENTICAL_DB, IDENTICAL_DB, 0.0, 4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_table([1.0, np.nan]), "NaN"),
        (pd.concat([_table([1.0]), _table([2.0])]), "occurs twice"),
        (_table([1.0]).drop(columns="value"), "column 'value'"),
    ],
)
def test_summary_refuses(table, message):
    with pytest.raises(InputError, match=message):
        summary(table)
