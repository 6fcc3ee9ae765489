"""Small heads in NIfTI files, in any orientation and layout."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

VOXEL = 8.0
SHAPE = (24, 28, 18)
AFFINE = np.array([[VOXEL, 0, 0, -92.0], [0, VOXEL, 0, -120.0], [0, 0, VOXEL, -64.0], [0, 0, 0, 1]])
ENDINGS = {"short": "", "repository": "_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI"}


@pytest.fixture
def head() -> Callable[[int], np.ndarray]:
    """A brain of 128 x 160 x 128 mm on the RAS grid, zero around it, with a bright patch anterior on the right."""

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        i, j, k = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in SHAPE), indexing="ij")
        inside = (i / 8) ** 2 + (j / 10) ** 2 + (k / 8) ** 2 < 1
        data = np.where(inside, 200.0 + 40.0 * rng.random(SHAPE), 0.0)
        data[15:17, 18:20, 7:11] = 300.0
        return data.astype(np.float32)

    return make


@pytest.fixture
def write_scan() -> Callable[..., Path]:
    """Write RAS data to a NIfTI file whose axes run as `codes` says."""

    def write(path: Path, data: np.ndarray, codes: str = "RAS", affine: np.ndarray = AFFINE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(data, affine)
        turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(codes)))
        nib.save(image.as_reoriented(turn), path)
        return path

    return write


@pytest.fixture
def open_ms(tmp_path: Path, head: Callable, write_scan: Callable) -> Callable[..., Path]:
    """Make a folder with the two patients of the card's ci profile and return it."""

    def make(name: str = "data", layout: str = "short", below: str = ".", codes: str = "LAS") -> Path:
        for patient, seed in (("patient07", 70), ("patient26", 260)):
            for i, modality in enumerate(("T1", "T1POST", "T2", "FLAIR")):
                file = f"{modality}{ENDINGS[layout]}.nii.gz"
                write_scan(tmp_path / name / below / patient / file, head(seed + i), codes)
        return tmp_path / name

    return make
