"""A small prior and a patient's files, for everything that goes from files to maps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.data.volumes.nifti import Volume, write_volume
from a2a.forward.stack import Modality, StackSpec
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule

TURN = np.deg2rad(8.0)
SPEC = StackSpec((Modality("T1"), Modality("T2FLAIR"), Modality("CT", "CT", "HU", (-1000.0, 1600.0))))
HEADS = {"field_of_view_mm": 192.0, "brain_fraction": 0.05, "percentile": 99.5}


@dataclass(frozen=True)
class Patient:
    """Images of one head of 128 x 160 mm on a grid of 8 mm, in RAS order.

    The pixels of `tiny_prior` are as large, so slices are copies of planes.
    """

    folder: Path
    affine: np.ndarray
    images: dict[str, np.ndarray]

    def write(self, name: str, codes: str = "RAS", oblique: bool = False, data: np.ndarray | None = None) -> Path:
        """Write an image whose axes run as `codes` says, on a grid that may be turned in the world."""
        path = self.folder / f"{name}-{codes}{'-oblique' * oblique}.nii.gz"
        volume = self.turned(self.images[name] if data is None else data, codes, oblique)
        write_volume(path, volume.data, volume.affine)
        return path

    def turned(self, data: np.ndarray, codes: str, oblique: bool = False) -> Volume:
        """Reorder RAS data by hand: permute, flip, and let the affine undo both."""
        axes = ["RLAPSI".index(code) // 2 for code in codes]
        step = np.eye(4)[:, [*axes, 3]]
        for new, (axis, code) in enumerate(zip(axes, codes, strict=True)):
            if code in "LPI":
                step[axis, new], step[axis, 3] = -1, data.shape[axis] - 1
        flips = tuple(new for new, code in enumerate(codes) if code in "LPI")
        rotation = np.eye(4)
        if oblique:
            rotation[:2, :2] = [[np.cos(TURN), -np.sin(TURN)], [np.sin(TURN), np.cos(TURN)]]
        return Volume(np.flip(data.transpose(axes), flips).copy(), rotation @ self.affine @ step)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    """A head with T1, T2FLAIR and CT; the mirror axis is broken by a bright patch."""
    shape = (26, 28, 8)
    i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    inside = (i / 8) ** 2 + (j / 10) ** 2 + (k / 5) ** 2 < 1
    rng, images = np.random.default_rng(5), {}
    for name, level in (("T1", 200.0), ("T2FLAIR", 90.0)):
        images[name] = np.where(inside, level * (1 + 0.3 * rng.random(shape)), 0.0).astype(np.float32)
        images[name][15:18, 18:21, 2:6] = 1.5 * level
    images["CT"] = np.where(inside, 40 + 20 * rng.random(shape), -1000.0).astype(np.float32)
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = -100.0, -120.0, -28.0
    folder = tmp_path / "patient"
    folder.mkdir()
    return Patient(folder, affine, images)


@pytest.fixture(scope="session")
def tiny_prior_of() -> Callable[..., Prior]:
    """Make an untrained prior that is not zero: its answers are nonsense, but they depend on everything they should."""

    def make(spec: StackSpec = SPEC, size: int = 24, preprocessing: dict | None = None) -> Prior:
        torch.manual_seed(3)
        network = UNet(UNetConfig(len(spec), width=8, multipliers=(1, 2), attention=(2,), head_width=8)).eval()
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.05)
        error = torch.stack([white([v] * len(spec), size, size) for v in (0.001, 0.2)])
        card = {"config": {"name": "tiny"}, "data": {"preprocessing": preprocessing or HEADS}}
        return Prior(network.requires_grad_(False), NoiseSchedule(), spec, size, Calibration((0, 999), error), card)

    return make


@pytest.fixture(scope="session")
def tiny_prior(tiny_prior_of: Callable[..., Prior]) -> Prior:
    """The small prior of T1, T2FLAIR and CT for skull-stripped heads, 24 pixels of 8 mm."""
    return tiny_prior_of()
