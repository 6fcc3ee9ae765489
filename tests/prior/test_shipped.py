"""Shipped weights by name: from the clone, a folder or a release, checked, and refused in one sentence."""

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from a2a.common.errors import Failure, InputError
from a2a.common.paths import ROOT, repository
from a2a.methods.baselines.mmgan import MmGAN, MmGANConfig
from a2a.methods.registry import load_method, shipped
from a2a.prior import shipped as module
from a2a.prior.load import load_prior
from a2a.prior.shipped import SOURCE, find_weights, shipped_weights


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files, counts what was asked for, and says nothing."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Count and serve."""
        self.server.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """A web server of the folder ``release``, on this machine alone."""
    (tmp_path / "release").mkdir()
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path / "release")))
    running.asked = []
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def address(server) -> str:
    return f"http://127.0.0.1:{server.server_port}/"


@pytest.fixture
def wheel(tmp_path, tiny_prior, monkeypatch) -> Path:
    """A root with descriptions of ``tiny`` and ``mmgan-64`` and no tensors, as in a wheel; they are in ``release``."""
    root = tmp_path / "root"
    (root / "book").mkdir(parents=True)
    (root / "book" / "_toc.yml").write_text("root: intro\n")
    (root / "weights").mkdir()
    release = tmp_path / "release"
    tiny_prior.save(release / "tiny.safetensors")
    config = MmGANConfig(name="tiny", data="heads", steps=1, widths=(4, 8, 8))
    network = MmGAN.build(config, tiny_prior.spec, tiny_prior.size).eval()
    made = MmGAN(network, config, tiny_prior.spec, tiny_prior.size, tiny_prior.card)
    made.save(release / "mmgan-64.safetensors")
    for file in release.glob("*.json"):
        shutil.move(file, root / "weights" / file.name)
    monkeypatch.setenv(ROOT, str(root))
    monkeypatch.delenv(SOURCE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return root


def test_in_a_clone_they_are_in_its_folder(monkeypatch):
    monkeypatch.delenv(SOURCE, raising=False)
    assert find_weights("phantom-any2all-64") == repository("weights", "phantom-any2all-64.safetensors")
    assert load_prior("phantom-any2all-64").size == 64
    assert {"phantom-any2all-64", "phantom-brats-64"} <= set(shipped_weights())
    assert {"mmgan-64", "minet-64"} <= set(shipped_weights(methods=True))
    assert not set(shipped_weights()) & set(shipped_weights(methods=True))


def test_a_release_is_downloaded_once_and_checked(server, address, wheel, tiny_prior, tmp_path, monkeypatch):
    found = load_prior("tiny", source=address)
    assert found.digest == tiny_prior.digest and found.spec == tiny_prior.spec
    monkeypatch.setenv(SOURCE, address.rstrip("/"))
    assert load_prior("tiny").digest == tiny_prior.digest
    assert server.asked == ["/tiny.safetensors"]
    path = find_weights("tiny")
    assert path.is_relative_to(tmp_path / "cache")
    assert path.with_suffix(".json").read_bytes() == (wheel / "weights" / "tiny.json").read_bytes()
    path.write_bytes(b"spoiled on disk")
    assert load_prior("tiny").digest == tiny_prior.digest and len(server.asked) == 2


def test_without_a_network_what_was_downloaded_serves(server, address, wheel, tiny_prior):
    load_prior("tiny", source=address)
    server.shutdown()
    server.server_close()
    assert load_prior("tiny", source=address).digest == tiny_prior.digest


def test_a_method_comes_the_same_way(address, wheel, monkeypatch):
    monkeypatch.setenv(SOURCE, address)
    assert load_method("mmgan").name == "mmgan"
    assert shipped("a-method-without-weights") == wheel / "weights" / "a-method-without-weights-64.safetensors"


def test_other_bytes_than_those_described_are_discarded(address, wheel, tmp_path):
    file = tmp_path / "release" / "tiny.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\xff\xff\xff\xff")
    with pytest.raises(Failure, match="tiny.safetensors has not the SHA-256 of tiny.json and was discarded; set A2A_W"):
        load_prior("tiny", source=address)
    assert list((tmp_path / "cache").rglob("*.safetensors")) == []


def test_an_address_that_is_down_or_lacks_the_file_is_told(server, address, wheel, tmp_path, monkeypatch):
    monkeypatch.setenv(SOURCE, address)
    (tmp_path / "release" / "tiny.safetensors").unlink()
    with pytest.raises(Failure, match=r"cannot be downloaded \(404 File not found\); set A2A_WEIGHTS to another"):
        load_prior("tiny")
    server.shutdown()
    server.server_close()
    with pytest.raises(Failure, match=rf"^{address}tiny.safetensors cannot be downloaded \(no connection\); .*\.$"):
        load_prior("tiny")


def test_a_silent_address_is_not_waited_for_without_end(wheel, monkeypatch):
    import socket

    monkeypatch.setattr(module, "TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(Failure, match=r"cannot be downloaded \(no connection\)"):
            load_prior("tiny", source=f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_folder_serves(wheel, tmp_path, tiny_prior, monkeypatch):
    folder = tmp_path / "release"
    shutil.copy(wheel / "weights" / "tiny.json", folder)
    assert load_prior("tiny", source=folder).digest == tiny_prior.digest
    monkeypatch.setenv(SOURCE, str(folder))
    assert load_prior("tiny").digest == tiny_prior.digest
    with pytest.raises(InputError, match="other.safetensors: no such file; .*release was named as the folder of"):
        load_prior("other")


@pytest.mark.parametrize("name", ["tiny", "unknown"])
def test_without_a_source_it_is_said_what_to_do(wheel, name):
    sentence = {
        "tiny": "tiny: this installation has no weights; set A2A_WEIGHTS to a folder or an address with them.",
        "unknown": "unknown: no weights of this name; there are tiny, or name a .safetensors file.",
    }[name]
    with pytest.raises(InputError) as refused:
        load_prior(name)
    assert str(refused.value) == sentence


def test_an_address_is_not_asked_for_weights_that_were_never_shipped(server, address, wheel):
    with pytest.raises(InputError, match="unknown: no weights of this name; there are tiny"):
        load_prior("unknown", source=address)
    assert server.asked == []


def test_names_are_told_from_the_descriptions(wheel):
    assert shipped_weights() == ["tiny"] and shipped_weights(methods=True) == ["mmgan-64"]
    assert "method" in json.loads((wheel / "weights" / "mmgan-64.json").read_text())
