"""Pages: built without a warning, complete, and seen by a browser as a reader sees them, offline."""

import io
import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from a2a.bookmaking.book import Book, BuildFailed
from a2a.bookmaking.chapters import pages
from a2a.bookmaking.run import ChapterFailed, read_run
from a2a.common.paths import repository


def text(root: Path, page: str) -> str:
    """Return the HTML of a built page."""
    return (root / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8")


def check(page, html: str) -> None:
    """Check that a browser shows every equation and every interactive figure and has nothing to complain about."""
    assert page.console == () and page.complaints == () and page.overflow == 0
    equations = len(re.findall(r'class="math notranslate', html))
    assert page.document.count("<mjx-container") >= equations
    figures = html.count('class="plotly-graph-div"')
    assert len(re.findall(r'<svg[^>]*class="main-svg"', page.document)) >= figures
    assert "mjx-merror" not in page.document


def test_the_chapter_shows_this_run(built):
    html = text(built, "01-mini")
    assert "There are 5 points at a distance of 1.0" in html
    assert re.search(r"points.*=.*5", html[html.index("Values of this run") :][:600])
    assert "How this page was computed" in html
    run = read_run(built / "runs" / "book" / "smoke" / "01-mini")
    assert run.started[:10] in html and str(run.machine["torch"]) in html


def test_both_kinds_of_figure_have_caption_number_and_alternative_text(built):
    html = text(built, "01-mini")
    assert 'aria-label="Points at equal distances on a circle around zero."' in html
    assert 'alt="The phase grows in a straight line."' in html
    assert html.count("<figcaption>") == 2
    assert 'href="#fig-circle"' in html and "Fig. 1" in html


def test_the_status_page_lists_the_run(built):
    html = text(built, "status")
    assert re.search(r'href="01-mini.html".*?A circle.*?smoke', html, flags=re.DOTALL)


def test_pages_name_no_other_host(built):
    for page in ("intro", "01-mini", "status"):
        assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', text(built, page))


def test_nothing_is_done_twice(built):
    lines = []
    Book.read(built).make("smoke", 1, lines.append)
    told = [line for line in lines[1:] if "install" not in line]  # what is missing for pictures
    assert told == ["unchanged: 01-mini", "HTML: unchanged"]


@pytest.mark.long
def test_a_failed_build_keeps_the_former_pages(mini):
    (mini / "book" / "_toc.yml").write_text("format: jb-book\nroot: intro\n")
    (mini / "book" / "profiles.yml").write_text("ci: {}\n")
    (mini / "book" / "intro.md").write_text("# Intro\n\nSee {ref}`nowhere`.\n")
    (mini / "_build" / "html").mkdir(parents=True)
    (mini / "_build" / "html" / "index.html").write_text("the former book")
    for _ in range(2):
        with pytest.raises(BuildFailed, match=r"intro.md:3: WARNING: undefined label: 'nowhere'"):
            Book.read(mini).make("ci", 1, lambda line: None)
    assert (mini / "_build" / "html" / "index.html").read_text() == "the former book"


@pytest.mark.long
def test_a_chapter_that_failed_has_a_page_that_says_so(mini, browse):
    chapter = mini / "book" / "01-mini.md"
    chapter.write_text(chapter.read_text().replace("assert np", "assert points > 40, 'too | <few>'\nassert np"))
    with pytest.raises(ChapterFailed, match=r"01-mini failed with AssertionError: too \| <few> in cell In \[3\]; see "):
        Book.read(mini).make("smoke", 1, lambda line: None)
    html = text(mini, "01-mini")
    assert html.index("AssertionError: too | &lt;few&gt; in cell In [3]") < html.index("Traceback")
    assert html.count("This figure was not computed.") == html.count("<figcaption>") == 2
    assert re.search(r'href="01-mini.html".*?<strong>failed</strong>: AssertionError', text(mini, "status"), re.DOTALL)
    check(browse((mini / "_build" / "html" / "01-mini.html").as_uri()), html)


def test_staged_notebooks_are_valid_and_light(built):
    path = built / "_build" / "staging" / "01-mini.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 200_000
    assert not any("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)


@pytest.mark.parametrize("page", ["intro", "01-mini", "status"])
def test_a_browser_shows_the_small_book(built, browse, page):
    check(browse((built / "_build" / "html" / f"{page}.html").as_uri()), text(built, page))


@pytest.mark.parametrize("scheme, colour", [("light", "#aaa"), ("dark", "#555")])
def test_pale_text_is_found(built, browse, tmp_path, scheme, colour):
    html = shutil.copytree(built / "_build" / "html", tmp_path / "html")
    intro = html / "intro.html"
    pale = f"<b style='color: {colour}'>exists</b>"
    intro.write_text(intro.read_text().replace("It exists", f"It {pale}"))
    (complaint,) = browse(intro.as_uri()).complaints
    assert complaint.startswith(f"{scheme}, color-contrast") and colour in complaint


def test_a_search_needs_no_network(built, browse):
    found = browse((built / "_build" / "html" / "search.html").as_uri() + "?q=circle")
    assert found.console == () and found.complaints == () and '<a href="01-mini.html' in found.document


def test_readers_without_javascript_see_the_picture(built, browser: Browser):
    page_file = built / "_build" / "html" / "01-mini.html"
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        picture = page.locator("noscript img")
        if not picture.count():
            pytest.skip("the book was built without pictures: Kaleido is missing")
        assert picture.get_attribute("alt") == "Points at equal distances on a circle around zero."
        shown = np.asarray(Image.open(io.BytesIO(picture.screenshot())).convert("RGB"))
        assert len(np.unique(shown.reshape(-1, 3), axis=0)) > 10
        assert not page.locator(".plotly-graph-div").is_visible()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        assert page.locator(".plotly-graph-div").is_visible() and not page.locator("noscript img").count()


def broken_links(html: Path) -> list[str]:
    """Links and sources of all pages that lead to no file or to no place in it."""
    documents = {path: path.read_text(encoding="utf-8") for path in html.glob("*.html")}
    places = {path.name: set(re.findall(r'\bid="([^"]*)"', document)) for path, document in documents.items()}
    broken = []
    for path, document in documents.items():
        for link in set(re.findall(r'<[^>]* (?:href|src)="([^"]*)"', document)):
            address = urlsplit(unescape(link))
            target = unquote(address.path) or path.name
            known = target not in places or unquote(address.fragment) in places[target] | {""}
            if not address.scheme and not (known and (html / target).is_file()):
                broken.append(f"{path.name}: {link}")
    return broken


def test_no_link_is_broken(built):
    assert broken_links(built / "_build" / "html") == []


@pytest.mark.apart
def test_no_link_of_the_book_is_broken():
    if not (html := repository("_build", "html")).is_dir():
        pytest.skip("the book is not built yet; `make book` builds it")
    assert broken_links(html) == []


@pytest.mark.apart
@pytest.mark.parametrize("page", pages(repository()))
def test_a_browser_shows_the_book(browse, page):
    path = repository("_build", "html", f"{page}.html")
    if not path.is_file():
        pytest.skip(f"{page}.html is not built yet; `make book` builds it")
    check(browse(path.as_uri()), path.read_text(encoding="utf-8"))
