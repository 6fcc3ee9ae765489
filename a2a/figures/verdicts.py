"""What a paper says beside a figure, and what came out: a table for the page."""

import pandas as pd

MARKS = {
    "supported": "✓ supported",
    "contradicted": "✗ contradicted",
    "undecided": "· undecided",
    "not measured": "not measured",
}
"""How a verdict is written, so that it is not told by colour."""


def verdict_table(verdicts: pd.DataFrame) -> str:
    """Write verdicts as a Markdown table.

    Parameters
    ----------
    verdicts
        As from `a2a.benchmark.claims.conclusions`.

    Returns
    -------
    str
        One row for each claim, and how many of its comparisons came out for, against and undecided.
    """
    lines = [
        f"| {r.claim} | {r.says} | {MARKS[r.verdict]} | {r.supported} / {r.contradicted} / {r.undecided} |"
        for r in verdicts.itertuples()
    ]
    head = "| Claim | The paper says | On the phantom | comparisons + / − / · |\n|---|---|---|---|\n"
    return head + "\n".join(lines)
