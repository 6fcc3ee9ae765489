"""Progress is visible where it should be and never changes what is iterated over."""

import io

import pytest

from a2a.common import progress as module
from a2a.common.progress import describe, format_seconds, progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def loud(monkeypatch):
    """Do not inherit silence from the shell that runs the tests."""
    monkeypatch.delenv("A2A_QUIET", raising=False)


@pytest.fixture
def clock(monkeypatch):
    """Make `time.monotonic` advance 4 s a call."""
    times = iter(range(0, 10_000, 4))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(times)))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
@pytest.mark.parametrize("items", [[], [3, 1, 2]])
def test_items_pass_unchanged(monkeypatch, stream, items):
    monkeypatch.setattr("sys.stderr", stream())
    assert list(progress(iter(items), "work")) == items
    assert list(progress(items, "work")) == items


def test_lines_without_terminal(monkeypatch, clock):
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    list(progress(range(10), "sampling"))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "sampling: 2 of 10 (20 %), 12 s, about 48 s left"
    assert len(lines) == 3, "one line every ten seconds of the forty"


def test_short_work_is_silent_without_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    list(progress(range(1000), "sampling"))
    assert stream.getvalue() == ""


def test_bar_on_terminal_names_the_work(monkeypatch):
    monkeypatch.setattr("sys.stderr", stream := Terminal())
    list(progress(range(3), "sampling"))
    assert "sampling" in stream.getvalue()


def test_bars_may_be_nested(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    pairs = [(i, j) for i in progress(range(2), "outer") for j in progress(range(3), "inner")]
    assert pairs == [(i, j) for i in range(2) for j in range(3)]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet(monkeypatch, clock, stream):
    monkeypatch.setenv("A2A_QUIET", "1")
    monkeypatch.setattr("sys.stderr", stream := stream())
    list(progress(range(10), "sampling"))
    assert stream.getvalue() == ""


def test_an_early_end_releases_the_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    for item in progress(range(10), "first"):
        if item == 2:
            break
    assert list(progress(range(3), "second")) == [0, 1, 2]


def test_line_without_total():
    assert describe("reading", 7, None, 21.0) == "reading: 7 done, 21 s"
    assert describe("reading", 0, 5, 21.0) == "reading: 0 of 5 (0 %), 21 s"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (7500, "2 h 05 min")])
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text
