"""Figures of heads: outlines of labels, greys of tissues, joint histograms, agreement over a shift."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from a2a.common.errors import InputError
from a2a.figures import (
    agreement_curves,
    contact_sheet,
    joint_histograms,
    labelled_stacks,
    marked_images,
    theme,
    tissue_greys,
)
from a2a.figures.panels import Panel, Sheet, marked
from a2a.forward.stack import Modality, StackSpec

SPEC = StackSpec((Modality("T1"), Modality("CT", "CT")))
ORANGE, BLUE = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in theme.MARKS[:2])


@pytest.fixture
def labels() -> np.ndarray:
    """Two label maps (2, 16, 16): a square of value 1, in the second also one of value 2."""
    maps = np.zeros((2, 16, 16), np.uint8)
    maps[:, 2:8, 2:8] = 1
    maps[1, 9:14, 9:14] = 2
    return maps


def decoded(trace) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(trace.source.partition(",")[2]))).convert("RGB"))


def test_marks_cover_the_rim_of_each_label_and_nothing_else(labels):
    picture = marked(Panel(np.full((16, 16), 0.5, np.float32), marks=labels[1]))
    assert (picture == ORANGE).all(-1).sum() == 20 and (picture == BLUE).all(-1).sum() == 16
    assert (picture == 128).all(-1).sum() == 256 - 36
    assert (picture[3:7, 3:7] == 128).all()


def test_labelled_stacks_add_one_outlined_panel_a_row(labels):
    stacks = np.full((2, 2, 16, 16), 0.25, np.float32)
    figure = labelled_stacks(stacks, SPEC, labels, ["oedema", "core"], "T1", ["a", "b"])
    images = [decoded(trace) for trace in figure.data if trace.type == "image"]
    assert [bool((image == ORANGE).all(-1).any()) for image in images] == [False, False, True] * 2
    assert bool((images[5] == BLUE).all(-1).any()) and not (images[2] == BLUE).all(-1).any()
    texts = [note.text for note in figure.layout.annotations]
    assert "T1, labels" in texts and any("oedema" in text and theme.MARKS[1] in text for text in texts)


def test_marked_images_take_marks_where_there_are_some(labels):
    figure = marked_images([np.ones((16, 16)), np.zeros((16, 16))], [None, labels[0]], ["a", "b"], ["head"])
    plain, outlined = (decoded(trace) for trace in figure.data if trace.type == "image")
    assert (plain == 255).all() and (outlined == ORANGE).all(-1).sum() == 20
    taller = figure.layout.height - marked_images([np.ones((16, 16))] * 2, [None] * 2, ["a", "b"]).layout.height
    assert taller > 10


def test_marks_are_drawn_in_png_files_too(tmp_path, labels):
    sheet = Sheet([[Panel(np.zeros((16, 16), np.float32), marks=labels[0], smooth=False)]], (), ["a"])
    contact_sheet(tmp_path / "sheet.png", sheet)
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (picture == ORANGE).all(-1).mean() > 0.02


def test_tissue_greys_draws_the_greys_and_writes_the_numbers():
    values = pd.DataFrame({"T1": [1.0, 0.553], "CT": [28.0, 1500.0]}, index=["white matter", "cortex"])
    figure = tissue_greys(values, values / 100)
    np.testing.assert_allclose(figure.data[0].z, [[0.01, 0.28], [0.0055, 1]], atol=1e-4)
    assert [note.text for note in figure.layout.annotations] == ["1", "28", "0.55", "1500"]
    assert "cortex" in figure.layout.meta["description"]


def test_joint_histograms_show_the_mean_given_a_value():
    given = np.tile(np.linspace(0.02, 0.98, 40), 500)
    figure = joint_histograms(given, {"the same": given, "inverse": 1 - given}, "T1")
    maps, lines = ([trace for trace in figure.data if trace.type == kind] for kind in ("heatmap", "scatter"))
    assert len(maps) == 2 and np.nanmax(maps[0].z) == 1
    np.testing.assert_allclose(lines[0].y, lines[0].x, atol=0.001)
    np.testing.assert_allclose(lines[1].y, 1 - np.asarray(lines[1].x), atol=0.022)


def test_agreement_curves_mark_the_largest_value():
    figure = agreement_curves([-2, 0, 2], {"CT": [0.1, 0.2, 0.5]}, "information (nats)")
    assert (figure.data[1].x, figure.data[1].y) == ((2.0,), (0.5,))
    assert "CT at 2 mm" in figure.layout.meta["description"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: labelled_stacks(np.ones((2, 2, 16, 16)), SPEC, m[:1], ["a", "b"], "T1"), r"shape \(2, 16, 16\)"),
        (lambda m: labelled_stacks(np.ones((2, 2, 16, 16)), SPEC, m, ["a"], "T1"), "name for each label 1 to 2"),
        (lambda m: labelled_stacks(np.ones((2, 2, 16, 16)), SPEC, m, ["a", "b"], "PET"), "PET"),
        (lambda m: marked_images([np.ones((16, 16))], [], ["a"]), "each of 1 images"),
        (lambda m: marked_images([np.ones((16, 16))], [m[0, :4]], ["a"]), "shape of its image"),
        (lambda m: tissue_greys(pd.DataFrame({"T1": [1.0]}), pd.DataFrame({"CT": [1.0]})), "same tissues"),
        (lambda m: joint_histograms(np.ones(4), {"CT": np.ones(5)}, "T1"), "as many values"),
        (lambda m: agreement_curves([0, 1], {"CT": [1.0]}, "nats"), "2 values each"),
    ],
)
def test_what_does_not_fit_is_refused(labels, call, message):
    with pytest.raises(InputError, match=message):
        call(labels)
