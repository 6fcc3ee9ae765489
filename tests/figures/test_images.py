"""Figures made of images: what is in them, that they stay small, and what they refuse."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from a2a.common.errors import InputError
from a2a.figures import (
    Example,
    completion_panel,
    completion_sheet,
    denoising_strip,
    forward_process_strip,
    mask_and_coils,
    one_picture,
    realism_sheet,
    stack_grid,
    trajectory,
)
from a2a.figures.panels import Panel, Sheet, png
from a2a.figures.theme import colour_table
from a2a.forward.stack import Modality, StackSpec

SPEC = StackSpec((Modality("T1"), Modality("CT", "CT"), Modality("PET", "PET")))
KINDS = ("clean", "measured", "missing")


@pytest.fixture
def stacks() -> np.ndarray:
    """Four stacks of three noisy discs, float32 (4, 3, 32, 24)."""
    rows, columns = np.mgrid[:32, :24]
    disc = ((rows - 16) ** 2 + (columns - 12) ** 2 < 80).astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05, (4, 3, 32, 24))
    return np.clip(0.7 * disc + noise, 0, 1).astype(np.float32)


def images(figure) -> list:
    return [trace for trace in figure.data if trace.type == "image"]


def texts(figure) -> list[str]:
    return [annotation.text for annotation in figure.layout.annotations]


def decoded(trace) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(trace.source.partition(",")[2]))).convert("RGB"))


def test_stack_grid_has_a_panel_for_each_image_and_shows_its_values(stacks):
    figure = stack_grid(stacks, SPEC, ["a", "b", "c", "d"], notes=[["x", "", ""]] * 4)
    assert len(images(figure)) == 12
    assert texts(figure).count("x") == 4 and {"T1", "CT", "PET", "a", "d"} <= set(texts(figure))
    np.testing.assert_allclose(decoded(images(figure)[0])[..., 0], 255 * stacks[0, 0], atol=1.5)
    pet = decoded(images(figure)[2])
    np.testing.assert_array_equal(pet, colour_table("inferno")[np.round(255 * stacks[0, 2]).astype(int)])


def test_panels_keep_the_aspect_of_the_images(stacks):
    figure = stack_grid(stacks[:2], SPEC, ["a", "b"])
    layout = figure.layout
    inner = layout.width - layout.margin.l - layout.margin.r, layout.height - layout.margin.t - layout.margin.b
    for number in ("", 2, 6):
        x, y = layout[f"xaxis{number}"], layout[f"yaxis{number}"]
        size = np.diff(x.domain)[0] * inner[0], np.diff(y.domain)[0] * inner[1]
        assert size[1] / size[0] == pytest.approx(32 / 24, rel=0.01)
    assert layout.width <= 700 and layout.xaxis2.matches == "x" and layout.yaxis6.matches == "y"


def test_few_columns_make_a_narrow_figure(stacks):
    figure = stack_grid(stacks[:1, :1], StackSpec.of("T1"))
    assert figure.layout.width < 220 and figure.layout.meta["description"]


def test_figures_of_full_size_stay_small(stacks):
    full = np.random.default_rng(1).uniform(size=(6, 3, 128, 128)).astype(np.float32)
    assert len(stack_grid(full, SPEC).to_json()) < 18 * 30_000  # noise does not compress: the worst case
    assert len(stack_grid(stacks, SPEC).to_json()) < 60_000


def test_completion_panel_of_several_samples(stacks):
    figure = completion_panel(stacks[0], KINDS, stacks, SPEC, truth=stacks[0])
    assert len(images(figure)) == 3 * 6 - 1
    assert "missing" in texts(figure) and "mean of 4" in texts(figure) and "<b>CT</b><br>undersampled" in texts(figure)
    assert figure.data[-1].marker.colorbar.title.text == "image units"
    assert "CT (undersampled)" in figure.layout.meta["description"]


def test_completion_columns_follow_from_what_is_known(stacks):
    def columns(samples, truth):
        return list(completion_sheet(stacks[0], KINDS, samples, SPEC, truth).column_titles)

    error, spread = "absolute<br>error", "standard<br>deviation"
    assert columns(stacks[:1], None) == ["input", "one sample"]
    assert columns(stacks[:1], stacks[0]) == ["input", "truth", "one sample", error]
    assert columns(stacks, None) == ["input", "one sample", "mean of 4", spread]
    assert columns(stacks, stacks[0]) == ["input", "truth", "one sample", "mean of 4", spread, error]


def test_completion_maps_share_one_scale_and_exact_copies_are_named(stacks):
    samples = stacks.copy()
    samples[:, 0] = stacks[0, 0]
    sheet = completion_sheet(stacks[0], KINDS, samples, SPEC, stacks[0])
    copied, completed = sheet.rows[0], sheet.rows[2]
    assert copied[2].text == copied[3].text == "exact" and completed[3].text.endswith(" dB")
    np.testing.assert_allclose(completed[4].image, samples[:, 2].std(axis=0, ddof=1), rtol=1e-5)
    np.testing.assert_allclose(completed[5].image, np.abs(samples[:, 2].mean(axis=0) - stacks[0, 2]), atol=1e-6)
    assert completed[4].limits == completed[5].limits == copied[5].limits
    high = completed[4].limits[1]
    top = np.percentile([completed[4].image, completed[5].image], 99)
    assert top <= high <= 3 * top
    assert completed[0].image is None and sheet.rows[1][0].limits[1] != 1.0


def test_samples_stand_before_real_slices_one_stack_a_column(stacks):
    sheet = realism_sheet(stacks[:3], stacks[3:], SPEC)
    assert len(sheet.rows) == 3 and list(sheet.column_titles)[2:] == ["sample 3", "real 1"] and sheet.wide_after == (2,)
    np.testing.assert_array_equal(sheet.rows[1][3].image, stacks[3, 1])


def test_one_picture_pairs_inputs_with_completions(stacks):
    examples = [Example("T1 + y(CT)", KINDS, stacks[0], stacks[1]), Example("", ("missing",) * 3, stacks[0], stacks[2])]
    figure = one_picture(examples, SPEC)
    assert len(images(figure)) == (2 + 3) + (0 + 3)
    written = texts(figure)
    assert written.count("→") == 2 and written.count("?") == 4 and "T1<br>+ y(CT)" in written and "nothing" in written


def test_forward_process_strip(stacks):
    figure = forward_process_strip(stacks * 4 - 1, [0, 10, 500, 999], SPEC)
    assert len(images(figure)) == 12 and "<i>t</i> = 500" in texts(figure)
    shown = decoded(images(figure)[1])[..., 0]
    np.testing.assert_allclose(shown, 255 * np.clip(stacks[1, 0] * 4 - 1, 0, 1), atol=1.5)


def test_each_position_of_the_slider_shows_the_images_of_its_step(stacks):
    figure = trajectory(stacks, 1 - stacks, [900, 500, 100, 0], SPEC)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["900", "500", "100", "0"] and slider.active == 3
    for k, step in enumerate(slider.steps):
        (change, traces), single = step.args, trajectory(stacks[k : k + 1], 1 - stacks[k : k + 1], [0], SPEC)
        assert list(change["source"]) == [trace.source for trace in single.data] and list(traces) == [*range(6)]
    assert [trace.source for trace in figure.data] == list(slider.steps[3].args[0]["source"])


def test_denoising_strip_pairs_every_modality_with_its_estimate(stacks):
    figure = denoising_strip(stacks * 2, stacks, [0, 10, 500, 999], SPEC)
    assert len(images(figure)) == 24 and {"<i>t</i> = 10", "<b>PET</b><br>estimate"} <= set(texts(figure))
    noisy, estimate = (decoded(images(figure)[i])[..., 0] for i in (1, 5))
    np.testing.assert_allclose(noisy, 255 * np.clip(2 * stacks[1, 0], 0, 1), atol=1.5)
    np.testing.assert_allclose(estimate, 255 * stacks[1, 0], atol=1.5)


@pytest.mark.parametrize("coils", [1, 4, 5])
def test_mask_and_coils(stacks, coils):
    maps = torch.polar(torch.rand(coils, 32, 24), torch.rand(coils, 32, 24))
    mask = np.arange(32) % 4 == 0
    assert len(images(mask_and_coils(mask, maps))) == 1 + coils
    figure = mask_and_coils(mask, maps, stacks[0, 0])
    assert len(images(figure)) == 2 + coils and "k-space<br>25 % sampled" in texts(figure)
    lines = decoded(images(figure)[0])[..., 0]
    np.testing.assert_array_equal(lines[:, 5] == 255, mask)


def test_inputs_are_kept(stacks):
    before = stacks.copy()
    tensor = torch.from_numpy(stacks).requires_grad_()
    stack_grid(tensor, SPEC)
    completion_panel(tensor[0], KINDS, tensor, SPEC, tensor[1])
    forward_process_strip(tensor, range(4), SPEC)
    one_picture([Example("T1", KINDS, tensor[0], tensor[1])], SPEC)
    np.testing.assert_array_equal(stacks, before)


def test_png_windows_and_clips():
    picture = np.array([[-1.0, 0.2], [0.6, 9.0]], np.float32)
    shown = np.asarray(Image.open(io.BytesIO(png(Panel(picture, limits=(0.2, 1.0))))).convert("L"))
    np.testing.assert_allclose(shown, [[0, 0], [127.5, 255]], atol=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: stack_grid(s[0], SPEC), "stacks must be an array with 4 axes"),
        (lambda s: stack_grid(s, StackSpec.of("T1", "T2")), "2 modalities T1, T2, got 3"),
        (lambda s: stack_grid(s, SPEC, ["a"]), "row titles"),
        (lambda s: stack_grid(s, SPEC, notes=[["a"]]), "4 x 3 notes"),
        (lambda s: stack_grid(s * np.nan, SPEC), "NaN"),
        (lambda s: stack_grid(s[:0], SPEC), "none of them empty"),
        (lambda s: completion_panel(s[0], ("clean",), s, SPEC), "clean, measured or missing"),
        (lambda s: completion_panel(s[0], ("clean", "given", "missing"), s, SPEC), "clean, measured or missing"),
        (lambda s: completion_panel(s[0, :, :16], KINDS, s, SPEC), "one shape"),
        (lambda s: realism_sheet(s, s[:, :2], SPEC), "3 modalities"),
        (lambda s: one_picture([], SPEC), "at least one example"),
        (lambda s: forward_process_strip(s, [0, 1], SPEC), r"\(2, 3, H, W\)"),
        (lambda s: denoising_strip(s, s[:, :, 1:], range(4), SPEC), r"\(4, 3, H, W\)"),
        (lambda s: trajectory(s, s, range(3), SPEC), r"\(3, 3, H, W\)"),
        (lambda s: mask_and_coils(np.ones(31), s[0]), "mask must have shape"),
        (lambda s: mask_and_coils(np.ones(32), s[0], s[0, 0].T), "image must have shape"),
        (lambda s: mask_and_coils(np.ones(32), s), "maps must be an array with 3 axes"),
        (lambda s: Sheet([[Panel(s[0, 0])], []], (), ["a"]), "rows of 1 panels"),
        (lambda s: Sheet([[Panel(None)]], (), ["a"]), "no image at all"),
        (lambda s: Sheet([[Panel(s[0, 0])]], (), ["a"], group_titles=("b", "c")), "group titles"),
    ],
)
def test_wrong_shapes_are_refused(stacks, call, message):
    with pytest.raises(InputError, match=message):
        call(stacks)


def test_unknown_kind_of_modality_is_refused(stacks):
    with pytest.raises(InputError, match="'US'; there are MR, CT, PET"):
        stack_grid(stacks[:, :1], StackSpec((Modality("B-mode", "US"),)))
