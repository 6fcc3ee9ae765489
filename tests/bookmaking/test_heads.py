"""Pictures of completed heads: from the files of a fetched folder to WebP with a caption."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2a.bookmaking.heads import main
from a2a.common.errors import InputError
from a2a.data.volumes.nifti import write_volume
from a2a.forward.stack import StackSpec
from a2a.prior.prior import Prior

NAMES = ("T1", "T1POST", "T2", "FLAIR")
HOW = {"field_of_view_mm": 192.0, "brain_fraction": 0.05, "percentile": 99.5, "foreground": "nonzero"}


@pytest.fixture
def words(tmp_path: Path, tiny_prior_of: Callable[..., Prior]) -> list[str]:
    """Write a patient with a lesion, and weights; return the options of the command."""
    i, j, k = np.mgrid[-11.5:12.5, -13.5:14.5, -6.5:7.5]
    inside, lesion = (i / 8) ** 2 + (j / 10) ** 2 + (k / 6) ** 2 < 1, np.hypot(i - 3, j - 4) + abs(k - 1) < 3
    affine, folder = np.diag([8.0, 8.0, 8.0, 1.0]), tmp_path / "open_ms" / "cross_sectional" / "patient26"
    folder.mkdir(parents=True)
    for place, name in enumerate(NAMES):
        write_volume(
            folder / f"{name}.nii.gz", np.where(inside, 100 + 20 * place * np.sin(i / 3) + 90 * lesion, 0), affine
        )
    write_volume(folder / "lesions.nii.gz", lesion, affine)
    tiny_prior_of(StackSpec.of(*NAMES), 24, HOW).save(tmp_path / "prior.safetensors")
    return ["--root", str(tmp_path / "open_ms"), "--prior", str(tmp_path / "prior.safetensors"), "--steps", "1"]


def test_both_scenarios_are_drawn_with_a_caption_that_says_whose_they_are(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("A2A_QUIET", "1")
    coarse = ["--coarse", str(tmp_path / "prior.safetensors")]
    main([*words, "--samples", "2", *coarse, "--out", str(tmp_path / "out")])
    columns = {"heads-measured.webp": 7, "heads-missing.webp": 6}  # SENSE where there is k-space
    for name, count in columns.items():
        image = np.asarray(Image.open(tmp_path / "out" / name).convert("RGB"))
        assert image.shape == (585, 190 * count, 3) and (tmp_path / "out" / name).stat().st_size < 2**17
        assert 0.05 < (image == 255).mean() < 0.9
        record = json.loads((tmp_path / "out" / name).with_suffix(".json").read_text())
        for said in ("Open-MS cross-sectional, patient26, CC BY", "changed: scaled", "Lesjak"):
            assert said in record["caption"]
        assert ("completed from T1 + y(FLAIR)" in record["caption"]) == (count == 7)


def test_a_subject_that_is_not_there_is_named_with_those_that_are(words, tmp_path):
    with pytest.raises(InputError, match=r"--subject patient07: it is not in .*cross_sectional; there are patient26\."):
        main([*words, "--subject", "patient07", "--out", str(tmp_path / "out")])
