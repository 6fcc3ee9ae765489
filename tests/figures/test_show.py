"""Figures leave the package in two forms for notebooks and as PNG files."""

import json

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.image import imread

from a2a.common.errors import InputError
from a2a.figures import Example, completion_sheet, contact_sheet, idea_sheet, show, stack_grid
from a2a.figures.show import mime_bundle
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2FLAIR")
STACKS = np.random.default_rng(0).uniform(size=(3, 2, 24, 24)).astype(np.float32)


def test_bundle_has_both_forms_without_the_library_and_is_reproducible():
    first, second = (mime_bundle(stack_grid(STACKS, SPEC)) for _ in range(2))
    assert first == second
    page = first["text/html"]
    assert "Plotly.newPlot" in page and len(page) < 200_000 and "cdn" not in page
    assert 'aria-label="3 stacks of images' in page and '<div id="figure-' in page
    assert len(first["application/vnd.plotly.v1+json"]["data"]) == 6
    json.dumps(first)
    other = mime_bundle(stack_grid(STACKS[:2], SPEC))["text/html"]
    assert page.split('id="')[1][:24] != other.split('id="')[1][:24]


def test_show_displays_the_bundle():
    InteractiveShell.instance()
    try:
        with capture_output() as captured:
            show(stack_grid(STACKS, SPEC))
    finally:
        InteractiveShell.clear_instance()
    assert captured.outputs[0].data == mime_bundle(stack_grid(STACKS, SPEC))


def test_contact_sheet_is_written_with_its_panels(tmp_path):
    sheet = completion_sheet(STACKS[0], ("clean", "missing"), STACKS, SPEC, STACKS[0])
    path = tmp_path / "new" / "sheet.png"
    contact_sheet(path, sheet, "subject 3, T1")
    picture = imread(path)[..., :3]
    assert picture.shape[1] > picture.shape[0] > 2 * 1.35 * 120 * 0.95
    assert 0.2 < (picture.mean(axis=-1) < 0.98).mean() < 0.95
    first = path.read_bytes()
    contact_sheet(path, sheet, "subject 3, T1")
    assert path.read_bytes() == first and [p.name for p in path.parent.iterdir()] == ["sheet.png"]


def test_contact_sheet_of_the_idea_has_arrows_between_its_groups(tmp_path):
    example = Example("T1", ("clean", "missing"), STACKS[0], STACKS[1])
    contact_sheet(tmp_path / "idea.png", idea_sheet([example, example], SPEC))
    picture = imread(tmp_path / "idea.png")[..., :3]
    blue = (picture[..., 2] > picture[..., 0] + 0.3).any(axis=1)
    assert 2 == np.count_nonzero(np.diff(blue.astype(int)) == 1)


def test_contact_sheet_needs_a_png_name(tmp_path):
    sheet = completion_sheet(STACKS[0], ("clean", "missing"), STACKS, SPEC)
    with pytest.raises(InputError, match="does not end with .png"):
        contact_sheet(tmp_path / "sheet.jpg", sheet)
    assert not list(tmp_path.iterdir())
