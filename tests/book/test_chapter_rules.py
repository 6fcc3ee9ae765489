"""House rules of the chapters: short cells, described figures, text without outputs, everything referenced exists."""

import re
from statistics import median

import pytest
import yaml

from a2a.bookmaking.book import Book
from a2a.bookmaking.chapters import pages
from a2a.bookmaking.pages import GENERATED
from a2a.common.paths import repository

BOOK = Book.read(repository())
EACH = pytest.mark.parametrize("chapter", BOOK.chapters, ids=lambda c: c.name)
FORBIDDEN = re.compile(r"sys\.path|^[!%]|pip install|savefig|\.write_image", flags=re.MULTILINE)


def lengths(chapter) -> list[int]:
    """Non-empty lines of each code cell except the parameters and the imports."""
    cells = [source for source in chapter.code[1:] if not source.startswith(("import ", "from "))]
    return [sum(1 for line in source.splitlines() if line.strip()) for source in cells]


def figure_cells(chapter) -> list:
    """Cells that say they make a figure, or that call what shows one."""
    made = re.compile(r"\bshow\(|plt\.|Image\(")
    codes = [cell for cell in chapter.notebook.cells if cell.cell_type == "code"]
    return [cell for cell in codes if "mystnb" in cell.metadata or made.search(cell.source)]


@EACH
def test_name_and_title(chapter):
    assert re.fullmatch(r"\d\d-[a-z0-9-]+", chapter.name)
    assert chapter.notebook.cells[0].source.startswith(("# ", "(sec-")) and chapter.title != chapter.name


@EACH
def test_the_first_code_cell_declares_the_parameters_with_a_profile_and_a_seed(chapter):
    assert chapter.code[0].splitlines()[0].startswith('profile: str = "ci"  # ')
    assert chapter.parameters["seed"].type == "int"


@EACH
def test_cells_are_short(chapter):
    assert median(lengths(chapter)) <= 6
    assert max(lengths(chapter)) <= 40


@EACH
def test_cells_touch_neither_the_environment_nor_the_path(chapter):
    assert not [source for source in chapter.code if FORBIDDEN.search(source)]


@EACH
def test_figures_are_named_captioned_and_described(chapter):
    for cell in figure_cells(chapter):
        options = cell.metadata.get("mystnb", {})
        figure, image = options.get("figure", {}), options.get("image", {})
        assert re.fullmatch(r"fig-[a-z0-9-]+", figure.get("name", "")), cell.source
        assert len(figure.get("caption", "")) > 20 and len(image.get("alt", "")) > 20, cell.source


@EACH
def test_headings_carry_labels_that_docstrings_can_name(chapter):
    first = chapter.notebook.cells[0].source
    assert re.match(r"\(sec-[a-z0-9-]+\)=\n# ", first), "begin with (sec-topic)= above the title"


def test_figure_names_are_unique():
    names = [c.metadata.mystnb.figure.name for chapter in BOOK.chapters for c in figure_cells(chapter)]
    assert len(names) == len(set(names))


def test_labels_of_equations_are_unique():
    texts = [path.read_text(encoding="utf-8") for path in repository("book").glob("*.md")]
    found = [label for text in texts for label in re.findall(r"^\$\$ \((eq-[a-z0-9-]+)\)$", text, re.MULTILINE)]
    assert found and len(found) == len(set(found))


def test_table_of_contents_and_files_agree():
    files = {path.stem for path in repository("book").glob("*.md")}
    assert sorted(pages(repository())) == sorted(files | set(GENERATED))


def test_citations_exist():
    keys = set(re.findall(r"@\w+\{([^,]+),", repository("book", "references.bib").read_text(encoding="utf-8")))
    cited = {
        key.strip()
        for path in repository("book").glob("*.md")
        for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", path.read_text(encoding="utf-8"))
        for key in group.split(",")
    }
    assert cited and cited <= keys


def test_every_chapter_has_a_smoke_size():
    profiles = yaml.safe_load(repository("book", "profiles.yml").read_text(encoding="utf-8"))
    assert set(profiles) == {"smoke", "ci", "full"}
    assert {chapter.name for chapter in BOOK.chapters} <= set(profiles["smoke"])


RELATIVES = (
    *("DPS", "ΠGDM", "TMPD", "MMPS", "Free Hunch", "DDS", "DDNM", "DiffPIR", "DAPS", "PnP-DM", "pULA"),
    *("Patch Diffusion", "PaDIS", "JiT", "YODA"),
)


@pytest.mark.parametrize("name", RELATIVES)
def test_every_relative_that_is_named_has_its_reference(name):
    text = repository("book", "related.md").read_text(encoding="utf-8")
    entries = repository("book", "references.bib").read_text(encoding="utf-8")
    (key,) = set(re.findall(rf"\b{re.escape(name)} {{cite:[pt]}}`(\w+)`", text))
    assert f"{{{key}," in entries
