"""Where the panels of a sheet lie, shared by its interactive and its printed form."""

from dataclasses import dataclass

from a2a.figures.panels import Sheet

GAP, WIDE_GAP = 4, 24


@dataclass(frozen=True)
class Layout:
    """Places in a plane with its origin in the upper left corner of the first panel; the unit is that of `cell_width`.

    Parameters
    ----------
    sheet
        The panels.
    cell_width
        Width of a panel; the height follows from the images' shape.
    """

    sheet: Sheet
    cell_width: float

    @classmethod
    def fitting(cls, sheet: Sheet, available: float, largest: float) -> "Layout":
        """Make panels as wide as the available width allows, at most `largest`.

        Parameters
        ----------
        sheet
            The panels.
        available
            Width that there is, pixels.
        largest
            Width of a panel at most, pixels.
        """
        columns = len(sheet.column_titles)
        gaps = GAP * (columns - 1) + (WIDE_GAP - GAP) * len(sheet.wide_after)
        return cls(sheet, min((available - gaps) / columns, largest))

    @property
    def cell_height(self) -> float:
        """Height of a panel."""
        height, width = self.sheet.shape
        return self.cell_width * height / width

    @property
    def width(self) -> float:
        """Width of the whole plane."""
        return self.left(len(self.sheet.column_titles) - 1) + self.cell_width

    @property
    def height(self) -> float:
        """Height of the whole plane."""
        return self.top(len(self.sheet.rows) - 1) + self.cell_height

    def left(self, column: int) -> float:
        """Left edge of a column."""
        wide = sum(column > after for after in self.sheet.wide_after)
        return column * (self.cell_width + GAP) + wide * (WIDE_GAP - GAP)

    def top(self, row: int) -> float:
        """Upper edge of a row."""
        return row * (self.cell_height + GAP)

    def groups(self) -> list[tuple[float, float]]:
        """Left and right edge of each group of columns."""
        last = [*self.sheet.wide_after, len(self.sheet.column_titles) - 1]
        first = [0, *(column + 1 for column in self.sheet.wide_after)]
        return [(self.left(a), self.left(b) + self.cell_width) for a, b in zip(first, last, strict=True)]

    def arrows(self) -> list[tuple[float, float]]:
        """Centres of the arrows: in each row, from each group of columns to the next, if the groups have titles."""
        groups = self.groups() if self.sheet.group_titles else []
        xs = [(a[1] + b[0]) / 2 for a, b in zip(groups[:-1], groups[1:], strict=True)]
        return [(x, self.top(row) + self.cell_height / 2) for row in range(len(self.sheet.rows)) for x in xs]
