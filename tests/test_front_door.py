"""What stands at the top of the package: five names, costing nothing until they are used, and the README's example."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import a2a
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.forward.measured import KSpace
from a2a.forward.observation import Observation
from a2a.forward.operators import PerItem
from a2a.forward.operators.spectrum import spectrum
from a2a.forward.stack import StackSpec
from a2a.forward.undersampling import Undersampling
from a2a.prior.gaussian import GaussianPrior
from a2a.samplers import mds


def python(code: str) -> str:
    """Run code in a process of its own and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_is_imported_without_torch_in_a_fifth_of_a_second():
    code = (
        "import time; began = time.process_time()\nimport a2a, sys\n"
        "print(time.process_time() - began, *({'torch', 'numpy', 'typer', 'pydantic'} & set(sys.modules)))"
    )
    seconds, *heavy = python(code).split()
    assert heavy == [] and float(seconds) < 0.2


def test_every_name_is_found_where_it_is_defined():
    assert a2a.__all__ == ["Observation", "StackSpec", "load_prior", "mds", "mps"]
    assert set(a2a.__all__) <= set(dir(a2a))
    for name in a2a.__all__:
        found = getattr(a2a, name)
        assert found.__name__ == name and found.__module__.startswith("a2a.")
    assert python("from a2a import *; print(mds.__module__, StackSpec.__module__)").split() == [
        "a2a.samplers.mds",
        "a2a.forward.stack",
    ]


def test_another_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match="module 'a2a' has no attribute 'mdps'"):
        a2a.mdps  # noqa: B018


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Two slices as NumPy arrays: a T1, and k-space of a FLAIR with its mask and maps."""
    x = torch.rand(2, 2, 64, 64, generator=torch.Generator().manual_seed(3))
    seen = Observation.simulate(x, "T1 + y(FLAIR)", StackSpec.of("T1", "FLAIR"))
    sense = seen.operator.blocks[1]
    return {"t1": x[:, 0].numpy(), "y": seen.data[1].numpy(), "mask": sense.mask.numpy(), "maps": sense.maps.numpy()}


def test_the_example_of_the_readme_has_two_imports_and_three_statements_and_runs(arrays):
    text = repository("README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    imports, statements = (part.strip().splitlines() for part in code.split("\n\n"))
    assert (len(imports), len(statements)) == (2, 3)
    names = dict(arrays)
    exec(code.replace("steps=50", "steps=2"), names)
    assert names["mean"].shape == (2, 5, 64, 64)
    assert np.array_equal(names["mean"][:, 0].numpy(), arrays["t1"]), "a clean image comes back as it was"
    assert str(names["given"].scenario) == "T1 + y(T2FLAIR)"


def test_what_a_person_prints_is_one_line(tiny_prior, arrays):
    x = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    seen = Observation.simulate(x, "T1 + y(T2FLAIR)", tiny_prior.spec)
    gaussian = GaussianPrior.correlated(StackSpec.of("A", "B"), torch.full((2, 4, 4), 0.5), 0.2, 0.6, 2.0)
    sense = seen.operator.blocks[1]
    shown = {
        repr(tiny_prior): "Prior('tiny', ('T1', 'T2FLAIR', 'CT'), size=24, predicts='noise', parameters=",
        repr(tiny_prior.calibration): "Calibration(times=2, bands=",
        repr(seen): "Observation('T1 + y(T2FLAIR)', shape=(2, 24, 24))",
        repr(seen.operator): "StackOperator(Identity(), CartesianSense(size=(24, 24), coils=8, acceleration=4, solver=",
        repr(PerItem((sense, sense))): "PerItem(items=2, first=CartesianSense(",
        repr(spectrum(sense.mask, sense.maps)): "Spectrum(groups=",
        repr(Undersampling(pattern="poisson").operator(16, 16)._convolution(x)): "Convolution(size=(16, 16), coils=8)",
        repr(gaussian): "GaussianPrior(('A', 'B'), size=(4, 4))",
        repr(KSpace(arrays["y"], arrays["mask"], arrays["maps"], 0.01)): "KSpace(shape=(2, 8, 64, 64), lines=(64,), ",
        repr(mds(tiny_prior, seen, steps=1, generators=spawn(0, 2))): "Completion(('T1', 'T2FLAIR', 'CT'), shape=(1",
    }
    small = Observation.simulate(torch.full((1, 2, 4, 4), 0.5), "A", gaussian.spec)
    shown[repr(gaussian.posterior(small))] = "Gaussian(shape=(2, 4, 4))"
    for text, beginning in shown.items():
        assert text.startswith(beginning) and "\n" not in text and len(text) < 200, text
