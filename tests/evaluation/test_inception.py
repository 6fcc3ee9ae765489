"""FID and KID: what happens without the weights, and that both libraries agree, shown with random weights."""

import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from a2a.common._torchvision import ensure_torchvision
from a2a.common.errors import InputError
from a2a.evaluation.inception import LIBRARIES, SHA256, WEIGHTS, inception_distances, inception_weights

IMAGES = np.random.default_rng(0).uniform(size=(6, 24, 24))


@pytest.fixture
def no_network(monkeypatch):
    """Whatever asks the network fails the test."""

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)


def test_the_name_of_the_file_carries_its_checksum():
    assert len(SHA256) == 64 and WEIGHTS.endswith(f"-{SHA256[:8]}.pth")


def test_absent_weights_are_one_sentence_with_the_place_and_the_source(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / WEIGHTS
    with pytest.raises(InputError, match="no Inception weights") as refused:
        inception_distances(IMAGES, IMAGES)
    assert str(place) in str(refused.value) and f"v0.2.0/{WEIGHTS}" in str(refused.value)
    with pytest.raises(InputError, match=r"mine\.pth: no Inception weights"):
        inception_weights(tmp_path / "mine.pth")
    with pytest.raises(InputError, match="no Inception weights"):
        inception_weights(tmp_path)  # a folder


class _Bomb:
    """A pickle that writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_file_with_another_checksum_is_never_unpickled(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / WEIGHTS
    place.parent.mkdir(parents=True)
    place.write_bytes(pickle.dumps(_Bomb(tmp_path / "went-off")))
    for library in LIBRARIES:
        with pytest.raises(InputError, match="SHA-256 starts with .{8}, not 6726825d"):
            inception_distances(IMAGES, IMAGES, library=library)
    assert not (tmp_path / "went-off").exists()


def test_the_standard_cache_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / WEIGHTS
    place.parent.mkdir(parents=True)
    place.write_bytes(b"weights")
    assert inception_weights(sha256=hashlib.sha256(b"weights").hexdigest()) == place


def test_without_torch_fidelity_the_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "any.pth").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InputError, match=r"not installed: pip install -e '\.\[fid\]'"):
        inception_distances(IMAGES, IMAGES, tmp_path / "any.pth", sha256=hashlib.sha256(b"weights").hexdigest())


@pytest.mark.parametrize(
    "options, says",
    [
        ({"library": "clean-fid"}, "library must be torchmetrics or torch-fidelity, got 'clean-fid'"),
        ({"layer": 512}, "layer must be one of 64, 192, 768, 2048, got 512"),
        ({"real": IMAGES[:1]}, r"real images must be \(N, H, W\) with N >= 2"),
        ({"generated": IMAGES[:, None]}, r"generated images must be \(N, H, W\)"),
        ({"generated": IMAGES * np.nan}, "generated images have NaN"),
    ],
)
def test_bad_input_is_told_before_the_weights_are_looked_for(options, says):
    with pytest.raises(InputError, match=says):
        inception_distances(**({"real": IMAGES, "generated": IMAGES} | options))


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory) -> dict[str, object]:
    """A file of the right shapes with random numbers: it makes the code run, its values mean nothing."""
    ensure_torchvision()
    from torch_fidelity import feature_extractor_inceptionv3 as module

    path = tmp_path_factory.mktemp("inception") / "random.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.save(module.FeatureExtractorInceptionV3("random", ["64"]).state_dict(), path)
    yield {"weights": path, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "layer": 64}
    path.unlink()


def test_both_libraries_agree(random_weights, no_network):
    darker = 0.6 * np.random.default_rng(1).uniform(size=(5, 24, 24))
    first, second = (inception_distances(IMAGES, darker, library=name, **random_weights) for name in LIBRARIES)
    assert first["fid"] > 0 and first["fid"] == pytest.approx(second["fid"], rel=1e-5)
    # Other subsets of 5: the same but for their drawing.
    assert first["kid"] == pytest.approx(second["kid"], abs=3 * (first["kid_sd"] + second["kid_sd"]) + 1e-9)
    facts = {"layer": 64, "real": 6, "generated": 5, "library": "torchmetrics", "version": "1.9.0"}
    assert {key: first[key] for key in facts} == facts


def test_equal_sets_have_distance_zero_and_the_global_generator_stays(random_weights):
    state = torch.get_rng_state()
    first = inception_distances(IMAGES[:4], IMAGES[:4], seed=3, **random_weights)
    assert first["fid"] == pytest.approx(0, abs=1e-9)
    assert torch.equal(torch.get_rng_state(), state)
