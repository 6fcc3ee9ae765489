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
RULES = {"region": {"enabled": False}}  # the theme has the title of the book outside of every landmark
FIGURES = {"exclude": [[".js-plotly-plot"]]}  # one image with a description each; its insides are hidden from readers
READY = "async () => { if (window.MathJax?.startup) await MathJax.startup.promise }"
UNFOLD = "document.querySelectorAll('details').forEach(folded => { folded.open = true })"


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
    return lambda address, colours=True: look(browser, address, colours)


def look(browser: Browser, address: str, colours: bool = True) -> Page:
    """Load a page and examine it: light, dark, and as wide as a telephone; without `colours`, not their contrast."""
    with browser.new_context(offline=True, color_scheme="light") as context:
        page, console = context.new_page(), []
        page.on("console", lambda message: console.append(message.text))
        page.on("pageerror", lambda error: console.append(str(error)))
        page.goto(address)
        page.evaluate(READY)
        document = page.content()
        page.evaluate(UNFOLD)
        rules = {"color-contrast": {"enabled": colours}}
        complaints = examine(page, "light", {"type": "tag", "values": STANDARDS}, rules)
        if colours:
            page.emulate_media(color_scheme="dark")
            page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
            complaints += examine(page, "dark", {"type": "rule", "values": ["color-contrast"]})
        page.set_viewport_size({"width": 375, "height": 800})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return Page(document, tuple(m for m in console if not m.startswith(CHATTER)), tuple(complaints), overflow)


def examine(
    page: BrowserPage, scheme: str, asked: dict[str, Any], rules: dict[str, dict[str, bool]] | None = None
) -> list[str]:
    """Return what axe-core says against a page, one line for each element."""
    page.wait_for_timeout(300)  # colours fade from one scheme to the other
    options = {"runOnly": asked, "rules": RULES | (rules or {}), "resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, FIGURES, options).response["violations"]
    return [f"{scheme}, {rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
