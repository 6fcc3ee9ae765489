"""Block diagrams: boxes lie where they are put, arrows touch the sides that face each other, texts fit."""

import pytest

from a2a.common.errors import InputError
from a2a.figures import Arrow, Box, block_diagram

BOXES = {
    "x": Box("<i>x</i>", 0, 1, bare=True),
    "net": Box("network<br><i>G</i>", 1, 1, highlighted=True),
    "loss": Box("loss", 1, 2),
    "wide": Box("a longer text in a wide box", 2, 1, span=2),
}


def rectangles(figure):
    return [shape for shape in figure.layout.shapes if shape.type == "rect"]


def lines(figure):
    return [trace for trace in figure.data if trace.mode == "lines"]


def test_boxes_lie_in_columns_and_rows_and_bare_ones_are_text():
    figure = block_diagram(BOXES, [])
    net, loss, wide = rectangles(figure)
    assert net.x0 == loss.x0 and net.y0 > loss.y1 and net.y1 == pytest.approx(wide.y0 + net.y1 - wide.y0)
    assert wide.x1 - wide.x0 > 1.9 * (net.x1 - net.x0) and wide.x1 <= figure.layout.xaxis.range[1]
    assert {a.text for a in figure.layout.annotations} == {box.text for box in BOXES.values()}
    assert net.fillcolor != loss.fillcolor


def test_arrows_touch_the_sides_that_face_each_other():
    figure = block_diagram(BOXES, [Arrow("net", "wide"), Arrow("net", "loss"), Arrow("wide", "net")])
    net, loss, wide = rectangles(figure)
    right, down, left = lines(figure)
    assert (right.x, right.y[0]) == ((net.x1, wide.x0), right.y[1])
    assert down.y == (net.y0, loss.y1) and down.x[0] == down.x[1]
    assert left.x == (wide.x0, net.x1)


@pytest.mark.parametrize("bend", [0.8, -1.4])
def test_bent_arrows_pass_above_or_below_and_stay_in_the_drawing(bend):
    figure = block_diagram(BOXES, [Arrow("x", "wide", bend=bend)])
    net, _, wide = rectangles(figure)
    (path,) = lines(figure)
    assert (max(path.y) > wide.y1) == (bend > 0) and (min(path.y) < wide.y0) == (bend < 0)
    assert 0 < min(path.y) and max(path.y) < figure.layout.yaxis.range[1]


def test_dashed_arrows_and_texts_are_drawn_and_told():
    figure = block_diagram(BOXES, [Arrow("x", "net"), Arrow("net", "loss", "L1", dashed=True)])
    assert [trace.line.dash for trace in lines(figure)] == ["solid", "dash"]
    assert "L1" in {a.text for a in figure.layout.annotations}
    assert figure.layout.meta["description"] == "Block diagram with arrows from x to network G; from network G to loss."


@pytest.mark.parametrize(
    ("boxes", "arrows", "reason"),
    [
        ({}, [], "at least one box"),
        (BOXES, [Arrow("x", "nett")], "arrows name nett; the boxes are x, net, loss, wide"),
        ({"a": Box("a", 0), "b": Box("much too long a text for such a narrow box", 5)}, [], "text of 'b' is too wide"),
    ],
)
def test_what_cannot_be_drawn_is_refused(boxes, arrows, reason):
    with pytest.raises(InputError, match=reason):
        block_diagram(boxes, arrows)
