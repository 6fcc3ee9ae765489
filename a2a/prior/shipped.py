"""Shipped weights by name: from a folder, from the clone, or downloaded once from a release and checked.

Imports nothing heavy, so that a wrong name is refused at once.
"""

import json
import os
import shutil
from pathlib import Path

import a2a
from a2a.common.errors import Failure, InputError
from a2a.common.paths import carried, repository

SOURCE = "A2A_WEIGHTS"
"""Environment variable: the folder with the weights, or the address of a release, ``https://.../``."""

TIMEOUT_S = 30


def shipped_weights(methods: bool = False) -> list[str]:
    """Return the names of the shipped priors, or of the shipped weights of compared methods."""
    files = sorted(repository("weights").glob("*.json"))
    return [file.stem for file in files if ("method" in json.loads(file.read_text(encoding="utf-8"))) == methods]


def find_weights(name: str, source: str | Path | None = None) -> Path:
    """Return the ``.safetensors`` file of shipped weights, with its JSON beside it.

    Parameters
    ----------
    name
        Such as ``"phantom-any2all-64"``.
    source
        Folder or address; by default what the environment variable ``A2A_WEIGHTS`` says, else ``weights/`` of the
        clone. From an address a file is downloaded once into the user's cache, and must have the SHA-256 of the JSON
        that came with the package.

    Raises
    ------
    InputError
        If there are no such weights, or nothing says where they are.
    Failure
        If the address cannot be reached, or what it sends is damaged.
    """
    source = os.environ.get(SOURCE) if source is None else source
    if _is_address(source):
        return _downloaded(name, str(source).rstrip("/"))
    if source:
        path = Path(source) / f"{name}.safetensors"
        if not path.is_file():
            raise InputError(f"{path}: no such file; {source} was named as the folder of the weights.")
        return path
    path = repository("weights", f"{name}.safetensors")
    if not path.is_file():
        _description(name)
        raise InputError(f"{name}: this installation has no weights; set {SOURCE} to a folder or an address with them.")
    return path


def located(name: str | Path) -> Path:
    """Return a weights file that was named by its path or as shipped weights.

    A path ``weights/NAME.safetensors`` that is not there, as experiments and recipes have it, stands for the shipped
    weights.

    Raises
    ------
    InputError
        If there is no such file, it lacks its JSON, or there are no shipped weights of this name.
    """
    path = carried(Path(name))
    shipped = path.parent == Path("weights") and repository("weights", f"{path.stem}.json").is_file()
    if path.suffix != ".safetensors" or (shipped and not path.is_file()):
        return find_weights(path.stem if path.suffix == ".safetensors" else str(name))
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            what = "it is a folder" if file.is_dir() else "no such file"
            raise InputError(f"{file}: {what}; weights are a .safetensors file with a .json of the same name.")
    return path


def _is_address(source: str | Path | None) -> bool:
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def _description(name: str) -> Path:
    """Return the JSON that came with the package."""
    path = repository("weights", f"{name}.json")
    if not path.is_file():
        known = ", ".join(shipped_weights())
        raise InputError(f"{name}: no weights of this name; there are {known}, or name a .safetensors file.")
    return path


def _downloaded(name: str, address: str) -> Path:
    """Get weights into the cache through Pooch, which compares the checksum and keeps what is there and right."""
    import pooch
    import requests

    description, url = _description(name), f"{address}/{name}.safetensors"
    instead = f"set {SOURCE} to another address, or to a folder that holds the file"
    cache = pooch.os_cache("a2a") / a2a.__version__
    known = json.loads(description.read_text(encoding="utf-8"))["sha256"]
    http = pooch.HTTPDownloader(timeout=TIMEOUT_S)
    try:
        path = Path(pooch.retrieve(url, f"sha256:{known}", f"{name}.safetensors", cache, downloader=http))
    except requests.RequestException as error:
        answer = error.response
        reason = "no connection" if answer is None else f"{answer.status_code} {answer.reason}"
        raise Failure(f"{url} cannot be downloaded ({reason}); {instead}.") from error
    except ValueError as error:
        raise Failure(f"{url} has not the SHA-256 of {description.name} and was discarded; {instead}.") from error
    shutil.copyfile(description, path.with_suffix(".json"))
    if expert := json.loads(description.read_text(encoding="utf-8")).get("expert"):
        _downloaded(expert["weights"], address)
    return path
