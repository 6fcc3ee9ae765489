"""How a scan lies on the prior's grid: towards where its axes run, which slice goes where, how far its zero is off.

Both are given in the patient's millimetres: the grid by the affine of the given images, the scan by the directions and
positions of its header. A shift in the plane is allowed and exact. A turn is not: k-space that was sampled along turned
axes would have to be interpolated, so it is refused beyond half a pixel at the edge of the window. Explained in the
chapter "Your own NIfTI files".
"""

from dataclasses import dataclass

import numpy as np

from a2a.common.errors import InputError

TARGET = "PLS"
PAIRS = ("AP", "LR", "IS")
_UNIT = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
_DISTANCES = 1e-2  # relative difference of distances between slices that is still called equal


@dataclass(frozen=True, eq=False)
class Grid:
    """What k-space is needed on.

    Parameters
    ----------
    slices
        Their number; None where any will do.
    size
        Pixels along each side (H = W).
    field_of_view_mm
        Side of the square field of view.
    percentile
        Of positive image values, that becomes `becomes` (`a2a.data.volumes.normalisation.Normalisation.fit`).
    affine
        (row, column, plane) to RAS millimetres, ``(4, 4)``; None where no image says where the grid lies.
    planes
        The plane of each slice; counted from 0 by default.
    middle
        Middle of the given images' own grid in RAS millimetres: there lies the middle of a scan that states no
        position. The middle of the window by default.
    becomes
        Image units that the percentile becomes. Where they are not 1, the percentile is that of the head alone.
    """

    slices: int | None
    size: int
    field_of_view_mm: float
    percentile: float = 99.5
    affine: np.ndarray | None = None
    planes: tuple[int, ...] | None = None
    middle: np.ndarray | None = None
    becomes: float = 1.0

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors along rows, columns and planes, ``(3, 3)`` row by row.

        Raises
        ------
        InputError
            If they are not at right angles, as in a sheared affine.
        """
        found = (self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)).T
        if np.abs(found @ found.T - np.eye(3)).max() > 1e-3:
            raise InputError("k-space cannot be placed: the affine of the given images is sheared; resample them.")
        return found

    def place(self, row: float, column: float, plane: float) -> np.ndarray:
        """Return where a pixel lies, RAS millimetres ``(3,)``.

        Parameters
        ----------
        row, column, plane
            Its indices, which may lie between pixels.
        """
        return (self.affine @ (row, column, plane, 1.0))[:3]


@dataclass(frozen=True, eq=False)
class Frame:
    """How a scan lies on the grid.

    Parameters
    ----------
    letters
        Towards where readout, phase encoding and slices run, seen from the grid: P for its rows, L for its columns, S
        for its planes, and A, R, I against them.
    order
        The scan's slice for each slice of the grid, ``(N,)``.
    offsets
        From pixel ``(H // 2, W // 2)`` to the zero of each of these slices in millimetres, along rows and columns,
        ``(N, 2)``.
    affine
        (row, column, slice) to RAS millimetres; None if neither grid nor scan states it.
    """

    letters: str
    order: np.ndarray
    offsets: np.ndarray
    affine: np.ndarray | None

    @property
    def signs(self) -> tuple[int, int]:
        """+1 where readout and phase encoding run as rows or columns of the grid do, -1 where they run against."""
        return tuple(1 if letter in TARGET else -1 for letter in self.letters[:2])


def framed(
    axes: str | None, directions: np.ndarray | None, centres: np.ndarray | None, count: int, grid: Grid
) -> Frame:
    """Find how a scan lies on the grid.

    Parameters
    ----------
    axes
        Towards where readout, phase encoding and slices run, such as ``"PLS"``; None where the file says.
    directions, centres
        What the file states, see `a2a.data.kspace.grid.ScannerKSpace`.
    count
        Slices of the scan.
    grid
        That of the given images.

    Raises
    ------
    InputError
        If it does not say how the patient lies in it, is turned against the grid, or its slices are others.
    """
    if grid.affine is None:
        return _own(axes, directions, centres, count, grid)
    letters = checked_axes(axes) if directions is None else _letters(directions, grid)
    half = grid.size // 2
    planes = np.arange(count) if grid.planes is None else np.asarray(grid.planes)
    if directions is None or centres is None:
        _require_count(count, grid)
        order = np.arange(count)[::-1] if letters[2] == "I" else np.arange(count)
        away = _from_window(grid, half)
        return Frame(letters, order, np.tile(away, (count, 1)), grid.affine)
    order = _matching(centres, planes, grid)
    zeros = np.array([centres[n] - grid.place(half, half, plane) for n, plane in zip(order, planes, strict=True)])
    return Frame(letters, order, zeros @ grid.directions[:2].T, grid.affine)


def _from_window(grid: Grid, half: int) -> np.ndarray:
    """From pixel ``(H // 2, W // 2)`` to the middle of the given images, along rows and columns."""
    edge = (grid.size - 1) / 2
    middle = grid.place(edge, edge, 0) if grid.middle is None else grid.middle
    return grid.directions[:2] @ (middle - grid.place(half, half, 0))


def _own(axes: str | None, directions: np.ndarray | None, centres: np.ndarray | None, count: int, grid: Grid) -> Frame:
    """The grid lies as the scan does; its pixel ``(H // 2, W // 2)`` is the scan's zero."""
    letters = checked_axes(axes)
    _require_count(count, grid)
    order, affine = np.arange(count), None
    if directions is not None and centres is not None:
        order, affine = _stacked(letters, directions, centres, grid)
    elif letters[2] == "I":
        order = order[::-1]
    return Frame(letters, order, np.zeros((count, 2)), affine)


def _stacked(letters: str, directions: np.ndarray, centres: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Slices upwards, and an affine along the scan's own axes."""
    pixel, half = grid.field_of_view_mm / grid.size, grid.size // 2
    towards = {letter: direction for letter, direction in zip(letters, directions, strict=True)}
    opposite = {pair[i]: pair[1 - i] for pair in PAIRS for i in (0, 1)}
    row, column, up = (towards[a] if a in towards else -towards[opposite[a]] for a in TARGET)
    along = centres @ up
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    if gaps.size and (gaps.min() <= 0 or gaps.max() / gaps.min() > 1 + _DISTANCES):
        raise InputError(
            f"its slices lie {gaps.min():.3g} to {gaps.max():.3g} mm apart; equal distances are needed where no image "
            "is given."
        )
    distance = float(gaps.mean()) if gaps.size else pixel
    affine = np.eye(4)
    affine[:3, :3] = np.stack([pixel * row, pixel * column, distance * up], axis=1)
    affine[:3, 3] = centres[order[0]] - affine[:3, :3] @ (half, half, 0)
    return order, affine


def _letters(directions: np.ndarray, grid: Grid) -> str:
    """The axes of a scan as the grid's own, if it is not turned against them."""
    seen = directions @ grid.directions.T
    nearest = np.abs(seen).argmax(axis=1)
    if sorted(nearest) != [0, 1, 2] or nearest[2] != 2:
        angle = np.degrees(np.arccos(min(abs(float(seen[2, 2])), 1.0)))
        raise InputError(
            f"its slices are turned by {angle:.0f} degrees against the planes of the given images; needed are slices "
            "of these planes."
        )
    straight = np.zeros((3, 3))
    straight[range(3), nearest] = np.sign(seen[range(3), nearest])
    turn = seen @ straight.T
    plane = np.degrees(np.arctan2(turn[0, 1] - turn[1, 0], turn[0, 0] + turn[1, 1]))
    tilt = np.degrees(np.arccos(np.clip(turn[2, 2], -1, 1)))
    allowed = np.degrees(1 / grid.size)  # half a pixel at the edge of the window
    if max(abs(plane), tilt) > allowed:
        how = f"{abs(plane):.1f} degrees in the plane" if abs(plane) >= tilt else f"{tilt:.1f} degrees out of the plane"
        raise InputError(
            f"its field of view is turned by {how} against the given images, and k-space cannot be turned (up to "
            f"{allowed:.1f} degrees are taken as none); resample the given images to the directions of this scan."
        )
    signs = straight.sum(axis=1)
    return "".join(TARGET[a] if sign > 0 else _against(TARGET[a]) for a, sign in zip(nearest, signs, strict=True))


def _against(letter: str) -> str:
    return next(pair.replace(letter, "") for pair in PAIRS if letter in pair)


def _matching(centres: np.ndarray, planes: np.ndarray, grid: Grid) -> np.ndarray:
    """The slice of the scan in each plane of the grid."""
    up, distance = grid.directions[2], float(np.linalg.norm(grid.affine[:3, 2]))
    wanted = np.array([grid.place(0, 0, plane) @ up for plane in planes])
    found = centres @ up
    order = np.abs(found - wanted[:, None]).argmin(axis=1)
    away = np.abs(found[order] - wanted)
    allowed = max(distance / 4, 0.5)
    if away.max() > allowed:
        n = int(away.argmax())
        span = f"{found.min():.1f}" if len(found) == 1 else f"{found.min():.1f} to {found.max():.1f}"
        raise InputError(
            f"it has no slice at the plane of the given images at {wanted[n]:.1f} mm: its {len(found)} slices lie at "
            f"{span} mm, the nearest {away[n]:.1f} mm away (up to {allowed:.1f} mm are taken as none); give images of "
            "the same planes, or only these planes of them."
        )
    return order


def _require_count(count: int, grid: Grid) -> None:
    if grid.slices not in (None, count):
        raise InputError(f"it has {count} slices; needed are {grid.slices}, those of the given images.")


def nearest_axes(directions: np.ndarray) -> str:
    """Letters of the patient axes nearest to unit vectors ``(3, 3)`` in RAS, row by row."""
    towards = np.array(list(_UNIT.values())) @ directions.T
    return "".join(list(_UNIT)[i] for i in towards.argmax(axis=0))


def checked_axes(axes: str | None) -> str:
    """Return three letters that say where rows (readout), columns (phase encoding) and slices run to.

    Raises
    ------
    InputError
        If they are missing, no three letters of A or P, L or R, I or S in some order, or the slices are not transverse.
    """
    wanted = "three letters for where readout, phase encoding and slices run to, such as PLS"
    if axes is None:
        raise InputError(f"it does not say how the patient lies in it; name its axes, {wanted} (--kspace-axes).")
    axes = axes.strip().upper()
    found = sorted("".join(pair for pair in PAIRS if letter in pair) for letter in axes)
    if found != sorted(PAIRS):
        raise InputError(f"axes {axes!r} are none; needed are {wanted}.")
    if axes[2] not in "IS":
        raise InputError(f"axes {axes!r} are not of transverse slices; the third letter must be I or S.")
    return axes
