"""torchmetrics imports whatever torchvision is installed, or none."""

import importlib
import importlib.util

from a2a.common._torchvision import ensure_torchvision


def test_answer_fits_what_is_installed_and_torchmetrics_imports():
    installed = importlib.util.find_spec("torchvision") is not None
    answers = {ensure_torchvision(), ensure_torchvision()}
    assert len(answers) == 1 and answers <= ({"native", "declared"} if installed else {"absent"})
    image = importlib.import_module("torchmetrics.functional.image")
    assert callable(image.structural_similarity_index_measure)
    if installed:
        assert importlib.import_module("torchvision.transforms.functional").resize
