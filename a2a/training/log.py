"""The training log: one CSV row now and then, the same rows whether or not the run was interrupted."""

import csv
from dataclasses import dataclass
from pathlib import Path

from a2a.common.files import write_text

COLUMNS = ("step", "seconds", "lr", "loss", "validation_loss")


@dataclass(frozen=True)
class TrainingLog:
    """The file ``log.csv`` of a run.

    Parameters
    ----------
    path
        Columns: optimiser steps done, seconds so far, learning rate of the last step, mean training loss since the
        row before, and at checkpoints the validation loss.
    """

    path: Path

    def trim(self, step: int) -> None:
        """Forget what an interrupted run wrote after the checkpoint of `step`, and start an empty file with its header.

        Only whole rows are kept: a killed process may have left a part of one.
        """
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.exists() else ""
        rows = [line.split(",") for line in text.splitlines()[1:]]
        kept = [row for row in rows if len(row) == len(COLUMNS) and row[0].isdecimal() and int(row[0]) <= step]
        write_text(self.path, "".join(",".join(row) + "\n" for row in [COLUMNS, *kept]))

    def append(self, step: int, seconds: float, lr: float, loss: float, validation_loss: float | None) -> None:
        """Add a row; a `validation_loss` of None stays empty.

        Parameters
        ----------
        step
            Counted from 1.
        seconds
            Since the run began.
        lr, loss
            Learning rate and mean training loss.
        validation_loss
            On validation slices, where it was measured.
        """
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([step, f"{seconds:.3f}", lr, loss, "" if validation_loss is None else validation_loss])
