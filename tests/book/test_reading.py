"""No page takes more than ten minutes to read: its prose, without code and formulas, at 240 words a minute."""

import ast
import re

import jupytext
import pytest

from a2a.common.paths import repository

MINUTES, WORDS_A_MINUTE = 10, 240
LOOKED_UP = {"glossary", "notation", "references"}  # pages that nobody reads from top to bottom
PAGES = [path for path in sorted(repository("book").glob("*.md")) if path.stem not in LOOKED_UP]
FOLDED = re.compile(  # shut until a reader opens it
    r":::\{solution-start\}.*?:::\{solution-end\}|^(:{3,})\{[^\n]*\n:class:[^\n]*dropdown.*?^\1$",
    flags=re.DOTALL | re.MULTILINE,
)
NO_PROSE = re.compile(
    r"^```(?!\{figure\}).*?^```$|^\$\$.*?^\$\$[^\n]*$|<!--.*?-->|^(?:\([^\n]*\)=|:\w[\w-]*:[^\n]*|:{3,}[^\n]*|```[^\n]*)$|\$[^$]+\$",
    flags=re.DOTALL | re.MULTILINE,
)
ROLE = re.compile(r"\{[a-z:-]+\}`[^`]*`")


def words(text: str) -> int:
    """Words of prose; a formula has none, a reference is one."""
    return len(re.findall(r"\w\S*", ROLE.sub("reference", NO_PROSE.sub(" ", text))))


def generated(source: str) -> str:
    """Sentences that a cell writes with the numbers that it found."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    written = [call for call in calls if getattr(call.func, "id", "") == "Markdown"]
    parts = (node.value for call in written for node in ast.walk(call) if isinstance(node, ast.Constant))
    return " ".join(part for part in parts if isinstance(part, str))


def minutes(source: str) -> float:
    """Minutes that a page takes: what is folded away counts half; captions and generated sentences count."""
    cells = jupytext.reads(source, fmt="md:myst").cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    folded = sum(words(found.group()) for found in FOLDED.finditer(prose))
    told = [generated(cell.source) for cell in cells if cell.cell_type == "code"]
    return (words(prose) - folded / 2 + sum(map(words, captions + told))) / WORDS_A_MINUTE


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_page_is_read_in_ten_minutes(path):
    assert minutes(path.read_text(encoding="utf-8")) <= MINUTES, "cut, or fold away what is not needed at first"


PAGE = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

(sec-label)=
# One two

:::{admonition} Not counted
:class: tip
three {ref}`sec-label`.
:::

$$
a = b
$$ (eq-a)

```{code-cell} ipython3
---
mystnb:
  figure:
    name: fig-a
    caption: Five six of $x$.
---
draw(Markdown(f"Seven {found} eight."), "label")
```

:::{solution-start} ex-a
:class: dropdown
:::

Half half $x^2$.

:::{solution-end}
:::

:::{admonition} More
:class: note dropdown
half half
:::

```bash
make nothing
```
"""


def test_prose_is_counted_without_code_and_formulas_and_half_where_it_is_folded_away():
    assert round(minutes(PAGE) * WORDS_A_MINUTE, 6) == 4 + 3 + 2 + 4 / 2
