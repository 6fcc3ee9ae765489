"""The reference of the package: every public module has its place, once."""

import re

from a2a.bookmaking.api import PAGES, api_page
from a2a.common.paths import repository


def documented(page: str) -> list[str]:
    """Modules that a page asks Sphinx to document."""
    return re.findall(r"automodule:: a2a\.(\S+)", api_page(repository(), page))


def test_every_public_module_stands_on_the_page_of_its_floor():
    folder = repository("a2a")
    paths = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.py")]
    names = {".".join(p for p in path.parts if p != "__init__") for path in paths if len(path.parts) > 1}
    public = {name for name in names if not any(part.startswith("_") for part in name.split("."))}
    floors = {name for name in public if "." not in name}
    found = [name for page in PAGES for name in documented(page)]
    assert sorted(found) == sorted(public - floors)
    assert all(name.startswith(page.removeprefix("api-") + ".") for page in PAGES for name in documented(page))
    assert {"forward.stack", "forward.operators.sense", "data.phantom.tissue", "cli.train"} <= set(found)


def test_every_page_is_in_the_contents_and_says_what_its_floor_is():
    toc = repository("book", "_toc.yml").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"file: {page}\n" in toc or f"file: {page} #" in toc
        title, summary = api_page(repository(), page).split("\n\n")[:2]
        assert title.startswith("# API: ") and len(summary) > 30


def test_a_page_is_text_with_one_section_a_module():
    text = api_page(repository(), "api-forward")
    assert text.startswith("# API: forward\n")
    assert text.count("## `a2a.") == text.count(":members:") == len(documented("api-forward")) > 10
