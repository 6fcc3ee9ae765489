"""Order and skips: files that take long come first; with --known-skips only what a committed list names is skipped."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

LONG = (
    "tests/test_wheel.py", "tests/workflow/", "tests/training/test_loop.py", "tests/methods/baselines/", "tests/book/",
    "tests/benchmark/test_heads.py", "tests/training/", "tests/cli/", "tests/benchmark/", "tests/data/",
)  # fmt: skip
"""Files and folders whose tests take longest, so that no process is left alone with them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that take long first; within a file the order stays."""
    items.sort(key=lambda item: next((n for n, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--known-skips", metavar="FILE", help="fail if a test is skipped for a reason that is not in FILE")


def skipped(config: pytest.Config) -> Iterator[tuple[str, str]]:
    """Yield (file of the test, reason) of all that was skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for report in reporter.stats.get("skipped", []) if reporter else []:
        yield report.nodeid.partition("::")[0], report.longrepr[2].removeprefix("Skipped: ")


def known(path: Path) -> list[tuple[str, str]]:
    """Read ``FILE: REASON`` of each line; both are patterns of a shell."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return [(file, reason) for file, _, reason in pairs]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Turn a success into a failure if something was skipped that may not be."""
    session.config.unknown_skips = []
    path = session.config.getoption("--known-skips")
    if path and not hasattr(session.config, "workerinput"):
        may = known(session.config.rootpath / path)
        session.config.unknown_skips = sorted(
            {f"{file}: {why}" for file, why in skipped(session.config)
             if not any(fnmatchcase(file, a) and fnmatchcase(why, b) for a, b in may)}
        )  # fmt: skip
        if session.config.unknown_skips and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    """Name what may not be skipped, after everything else, where whoever reads the end of a log sees it."""
    yield
    if found := config.unknown_skips:
        terminalreporter.section(f"skipped, but not in {config.getoption('--known-skips')}", red=True)
        for line in found:
            terminalreporter.line(line)
