"""Random streams and band-limited random fields, the sources of all variety in the phantom.

Explained in the chapter "The data".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

Streams = Callable[[int], np.random.Generator]  # a fresh generator for each purpose of one subject
CHUNK = 8192  # points per block: the (waves, CHUNK) buffer stays in the cache


class Stream(IntEnum):
    """What a generator is for; a purpose never shares its random numbers with another."""

    LATENTS = 0
    SHAPE = 1
    WHITE_MATTER_LESIONS = 2
    BLEEDS = 3
    TUMOUR = 5
    INFARCT = 6
    INFARCT_STAGE = 7
    TISSUE = 10
    COIL = 11
    PET_SCALE = 14
    NOISE = 40
    BIAS = 80
    POSITION = 120


def stream(dataset_seed: int, subject_id: int, purpose: int, redraw: int = 0) -> np.random.Generator:
    """Return the generator of one purpose of one subject.

    Parameters
    ----------
    dataset_seed, subject_id
        Non-negative integers that name the subject.
    purpose
        A `Stream`; for ``NOISE``, ``BIAS`` and ``POSITION`` plus the number of the modality.
    redraw
        0 for the subject itself; others draw the same purpose again.
    """
    key = [dataset_seed, subject_id, int(purpose), redraw] if redraw else [dataset_seed, subject_id, int(purpose)]
    return np.random.default_rng(np.random.SeedSequence(key))


@dataclass(frozen=True, eq=False)
class FourierField:
    """Sum of plane waves with random directions: ``B(x) = sqrt(2/M) sum_j cos(k_j . x + p_j)``.

    Zero mean and unit variance over the draws, defined at any point, hence the same on every grid
    (random Fourier features; Rahimi and Recht 2007).

    Parameters
    ----------
    waves : float32 (M, 3)
        Wave vectors k_j in rad/mm.
    phases : float32 (M,)
        Phases p_j in rad.
    """

    waves: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, spread: float, count: int) -> "FourierField":
        """Draw `count` waves of log-normal wavelength (median in mm, log-SD `spread`) and uniform direction.

        Parameters
        ----------
        rng
            Source of the waves.
        wavelength
            Median, mm.
        spread
            Standard deviation of its logarithm.
        count
            How many waves.
        """
        lengths = wavelength * np.exp(spread * rng.standard_normal(count))
        directions = rng.standard_normal((count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        phases = rng.uniform(0.0, 2.0 * np.pi, count)
        waves = 2.0 * np.pi * directions / lengths[:, None]
        return cls(waves.astype(np.float32), phases.astype(np.float32))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the values, float32 (N,), at `points`, float32 (3, N) in mm."""
        return evaluate([self], points)[0]

    def with_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return values (N,) and the length of the analytic gradient (N,) in 1/mm at `points` (3, N)."""
        scale = np.float32(np.sqrt(2.0 / len(self.phases)))
        values = np.empty(points.shape[1], np.float32)
        slopes = np.empty(points.shape[1], np.float32)
        for start in range(0, points.shape[1], CHUNK):
            here = slice(start, start + CHUNK)
            angles = _angles(self.waves, self.phases, points[:, here])
            sines = np.sin(angles)
            values[here] = scale * np.cos(angles).sum(axis=0)
            squares = np.zeros(angles.shape[1], np.float32)
            for axis in range(3):
                squares += (sines * self.waves[:, axis, None]).sum(axis=0) ** 2
            slopes[here] = scale * np.sqrt(squares)
        return values, slopes


def evaluate(fields: Sequence[FourierField], points: np.ndarray) -> np.ndarray:
    """Return the values of several fields, float32 (len(fields), N), at `points`, float32 (3, N) in mm.

    Plain sums instead of matrix products: a BLAS may add in another order with another number of
    threads, and images must not depend on that.
    """
    counts = [len(f.phases) for f in fields]
    waves = np.concatenate([f.waves for f in fields])
    phases = np.concatenate([f.phases for f in fields])
    bounds = np.cumsum([0, *counts])
    values = np.empty((len(fields), points.shape[1]), np.float32)
    for start in range(0, points.shape[1], CHUNK):
        here = slice(start, start + CHUNK)
        cosines = _angles(waves, phases, points[:, here])
        np.cos(cosines, out=cosines)
        for i, count in enumerate(counts):
            values[i, here] = np.float32(np.sqrt(2.0 / count)) * cosines[bounds[i] : bounds[i + 1]].sum(axis=0)
    return values


def _angles(waves: np.ndarray, phases: np.ndarray, points: np.ndarray) -> np.ndarray:
    """k_j . x + p_j as (waves, points)."""
    angles = waves[:, 0, None] * points[0]
    angles += phases[:, None]
    angles += waves[:, 1, None] * points[1]
    angles += waves[:, 2, None] * points[2]
    return angles
