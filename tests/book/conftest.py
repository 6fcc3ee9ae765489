"""A book of one chapter, made once for all tests of this folder, and a browser to look at pages with."""

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from a2a.book import Book
from a2a.paths import repository

MINI = Path(__file__).parent / "mini"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --virtual-time-budget=10000"
).split()
CHATTER = ("[PST]", "[togglebutton]")


@dataclass(frozen=True)
class Page:
    """What a browser made of a page: the document after all scripts ran, and its console."""

    document: str
    console: tuple[str, ...]


def copy_mini(root: Path) -> Path:
    """Make a repository of the small book at `root`, with our settings of Jupyter Book."""
    shutil.copytree(MINI, root)
    shutil.copy(repository("_config.yml"), root)
    shutil.copy(repository("requirements.txt"), root)
    return root


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """Return the root of a fresh copy of the small book."""
    return copy_mini(tmp_path / "repository")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of the small book after it was made with the profile smoke."""
    root = copy_mini(tmp_path_factory.mktemp("built") / "repository")
    Book.read(root).make("smoke", 1, lambda line: None)
    return root


@pytest.fixture(scope="session")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Page]:
    """Return a function that loads a page from disk in Chromium without any network."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("looking at pages needs Chromium, which is not installed")

    def load(path: Path) -> Page:
        own = [f"--user-data-dir={tmp_path_factory.mktemp('chromium')}", "--host-resolver-rules=MAP * ~NOTFOUND"]
        command = [chromium, *FLAGS, *own, "--dump-dom", path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        messages = re.findall(r':CONSOLE[:(]\d+\)?\] "(.*?)", source', done.stderr, flags=re.DOTALL)
        return Page(done.stdout, tuple(m for m in messages if not m.startswith(CHATTER)))

    return load
