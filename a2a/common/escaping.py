"""Texts that others wrote, made harmless where they are shown: in a terminal, in Markdown, in a spreadsheet."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def shown(text: str, limit: int = SHOWN) -> str:
    """Return text on one line for a terminal: control characters written out, and cut at `limit` characters."""
    cut = text if len(text) <= limit else text[: limit - 3].rstrip() + "..."
    line = " ".join(cut.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


def markdown(text: str) -> str:
    """Return text on one line in which nothing is markup of MyST or HTML, and no bar ends a cell of a table."""
    line = re.sub(r"([\\*_`$<>|\[\]{}#~&])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^([-+:=%@]|\d+(?=[.)]))", r"\\\1" if not line[:1].isdigit() else r"\1\\", line)


def code(text: str) -> str:
    """Return text as code of Markdown, whatever backquotes it holds, fit for a cell of a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    gap = " " if "`" in line else ""
    return f"{fence}{gap}{line}{gap}{fence}"


def for_spreadsheet(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table in which no text is a formula: an apostrophe stands before what begins like one."""

    def tame(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

    return table.map(tame).rename(columns=tame)
