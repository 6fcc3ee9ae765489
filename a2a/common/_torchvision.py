"""Make `torchvision` importable beside a CPU-only PyTorch.

The only torchvision that matches our PyTorch pin is, on Linux, a CUDA build. Beside a CPU build of
PyTorch its compiled operators cannot load, and the import fails while registering shapes for them.
torchmetrics imports torchvision as soon as torch-fidelity is installed, so it fails as well. We need
none of those operators: declaring their signatures is enough.
"""

import importlib
import sys

import torch

_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[torch.library.Library] = []


def ensure_torchvision() -> str:
    """Import torchvision, declaring its missing operators where its compiled part cannot load.

    Call it in every process before the first import of torchvision, torch-fidelity or torchmetrics.

    Returns
    -------
    str
        ``"native"`` if torchvision imports by itself, ``"absent"`` if it is not installed (torchmetrics then
        works without it), ``"declared"`` if operators had to be declared.
    """
    try:
        importlib.import_module("torchvision")
        return "declared" if _libraries else "native"
    except ModuleNotFoundError:
        return "absent"
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _SIGNATURE)
    _libraries.append(library)  # the declarations last as long as this object
    importlib.import_module("torchvision")
    return "declared"
