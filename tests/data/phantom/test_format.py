"""The same numbers as ever: trained weights and published results rest on these very images.

``reference.json`` holds block means of one subject of each preset. If a change of the generator is meant, raise
`PHANTOM_VERSION` and write the file anew: ``python tests/data/phantom/test_format.py``.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from a2a.data.phantom import PHANTOM_VERSION, PhantomConfig, generate_subject
from a2a.data.phantom.config import PRESETS

FILE = Path(__file__).with_name("reference.json")
SUBJECT, PLANES, BLOCKS = 3, (4, 7, 10), 4


def summary(preset: str) -> dict:
    """Block means of three planes of each image, and voxels of each lesion class."""
    subject = generate_subject(PhantomConfig(preset=preset, dz=8.0), SUBJECT)
    means = {}
    for name, image in subject.images.items():
        blocks = image[list(PLANES)].reshape(len(PLANES), BLOCKS, 64 // BLOCKS, BLOCKS, 64 // BLOCKS)
        means[name] = blocks.mean(axis=(2, 4), dtype=np.float64).ravel().tolist()
    return {"images": means, "lesion": np.bincount(subject.lesion.ravel(), minlength=4).tolist()}


@pytest.mark.parametrize("preset", PRESETS)
def test_images_are_those_of_this_version(preset):
    reference = json.loads(FILE.read_text(encoding="utf-8"))
    assert reference["version"] == PHANTOM_VERSION
    expected, found = reference["presets"][preset], summary(preset)
    assert found["images"].keys() == expected["images"].keys()
    for name, values in expected["images"].items():
        np.testing.assert_allclose(found["images"][name], values, rtol=0, atol=1e-4 * np.abs(values).max())
    np.testing.assert_allclose(found["lesion"], expected["lesion"], atol=3)


if __name__ == "__main__":
    presets = {preset: summary(preset) for preset in PRESETS}
    for values in presets.values():
        values["images"] = {n: [float(f"{v:.7g}") for v in block] for n, block in values["images"].items()}
    FILE.write_text(json.dumps({"version": PHANTOM_VERSION, "presets": presets}) + "\n", encoding="utf-8")
