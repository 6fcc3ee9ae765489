"""A book of one chapter, made once for all tests of this folder, and a browser to look at pages with."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright
from playwright.sync_api import Page as BrowserPage

from a2a.bookmaking.book import Book
from a2a.common.paths import repository

MINI = Path(__file__).parent / "mini"
CHATTER = ("[PST]", "[togglebutton]")
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]  # milliseconds for each element
RULES = {"region": {"enabled": False}}  # the theme has the title of the book outside of every landmark
RULES |= {name: {"enabled": False} for name in COLOURS}  # asked about apart
FIGURES = {"exclude": [[".js-plotly-plot"]]}  # one image with a description each; its insides are hidden from readers
READY = "async () => { if (window.MathJax?.startup) await MathJax.startup.promise }"
UNFOLD = "document.querySelectorAll('details').forEach(folded => { folded.open = true })"
PATIENCE = 300_000  # milliseconds; a page with many figures takes half a minute on a busy machine
LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Page:
    """What a browser made of a page.

    The document after all scripts ran, the console, complaints of axe-core in light and dark with everything unfolded,
    and by how many pixels the page is wider than a telephone of 375.
    """

    document: str
    console: tuple[str, ...]
    complaints: tuple[str, ...]
    overflow: int


def copy_mini(root: Path) -> Path:
    """Make a repository of the small book at `root`, with our settings of Jupyter Book and our styles."""
    shutil.copytree(MINI, root)
    shutil.copytree(repository("book", "_static"), root / "book" / "_static")
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
def chromium() -> str:
    """Return the path of Chromium, or skip the test."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return path or pytest.skip("looking at pages needs Chromium, which is not installed")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Yield Chromium, controlled by Playwright."""
    with sync_playwright() as driver, driver.chromium.launch(executable_path=chromium) as browser:
        yield browser


@pytest.fixture(scope="module")
def browse(browser: Browser) -> Callable[[str], Page]:
    """Return a function that looks at an address on disk in Chromium without any network."""
    return lambda address: look(browser, address)


def look(browser: Browser, address: str) -> Page:
    """Load a page and examine it: light, dark, and as wide as a telephone."""
    with browser.new_context(offline=True, color_scheme="light") as context:
        context.set_default_timeout(PATIENCE)
        page, console = context.new_page(), []
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(address)
        page.evaluate(READY)
        document = page.content()
        page.evaluate(UNFOLD)
        complaints = examine(page, "light", {"type": "tag", "values": STANDARDS}, FIGURES)
        complaints += colours(page, "light")
        page.emulate_media(color_scheme="dark")
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        complaints += colours(page, "dark")
        page.set_viewport_size({"width": 375, "height": 800})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return Page(document, tuple(m for m in console if not m.startswith(CHATTER)), tuple(complaints), overflow)


def colours(page: BrowserPage, scheme: str) -> list[str]:
    """Return what axe-core says against the colours of a page; it is asked about some elements of each look.

    A page has thousands of elements of some forty looks.
    """
    page.wait_for_timeout(300)  # colours fade from one scheme to the other
    page.evaluate(LOOKS)
    return examine(page, scheme, {"type": "rule", "values": COLOURS}, {"include": [["[data-look]"]]})


def examine(page: BrowserPage, scheme: str, asked: dict[str, Any], where: dict[str, list[list[str]]]) -> list[str]:
    """Return what axe-core says against some parts of a page, one line for each element."""
    options = {"runOnly": asked, "rules": RULES, "resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, where, options).response["violations"]
    return [f"{scheme}, {rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
