"""The reference of the package: every public module has its place, once."""

import re
from importlib import import_module

from a2a.api import PAGES, api_page, modules
from a2a.paths import repository


def documented(page: str) -> list[str]:
    """Modules that a page asks Sphinx to document."""
    return re.findall(r"automodule:: a2a\.(\S+)", api_page(repository(), page))


def test_every_public_module_stands_on_one_page():
    found = modules(repository())
    assert sorted(name for page in PAGES for name in documented(page)) == found
    assert {"stack", "operators.sense", "data.phantom.tissue", "cli.train"} <= set(found)


def test_pages_hold_what_their_titles_say_and_modules_can_be_imported():
    assert "operators.sense" in documented("api-operators") and "samplers.mds" in documented("api-samplers")
    assert "data.prepare" in documented("api-data") and "data.phantom.tissue" in documented("api-phantom")
    for page in PAGES:
        assert len(documented(page)) >= 3
        import_module(f"a2a.{documented(page)[0]}")


def test_a_page_is_text_with_one_section_a_module():
    text = api_page(repository(), "api-operators")
    assert text.startswith("# API: operators\n") and "{doc}`01-formulation`" in text
    assert text.count("## `a2a.") == text.count(":members:") == len(documented("api-operators"))
