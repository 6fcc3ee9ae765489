"""Downloading a public data set: checked, resumed after an interruption, unpacked without leaving its folder."""

import math
import os
import tarfile
import zlib
from functools import partial
from pathlib import Path

import pooch
import requests

from a2a.common.documents import read_json
from a2a.common.errors import Failure, InputError
from a2a.common.files import folder_atomically, say_if_full, write_json
from a2a.common.progress import progress
from a2a.data.cards.card import DataCard

CHUNK = 2**20
TIMEOUT_S = 30
NOTED = "checksums.json"


def fetch(card: DataCard, out: Path | str, base_url: str | None = None) -> list[Path]:
    """Download every file that a card names and is not there yet.

    A file that is there is compared with its checksum and kept. Where the card knows no checksum, that of the first
    download is noted in ``checksums.json`` and holds from then on. An interrupted download goes on where it stopped.
    Archives are unpacked; one with an entry that points outside is refused as a whole.

    Parameters
    ----------
    card
        A card with a `download`.
    out
        Folder for the files; give it to ``a2a prepare`` as ``--root``.
    base_url
        Where the files are, for a mirror; that of the card by default.

    Returns
    -------
    list of Path
        The files, or the folders into which archives were unpacked.

    Raises
    ------
    InputError
        If the card has no download, or an archive is unsafe or damaged.
    Failure
        If the network cannot be reached, a file is not there or has another checksum, or the disk is full.
    """
    if card.download is None:
        raise InputError(f"{card.title} cannot be downloaded by a program. {card.how_to_get}")
    out, plan, base = Path(out), card.download, base_url or card.download.base_url
    out.mkdir(parents=True, exist_ok=True)
    noted = _noted(out)
    got = []
    for name in progress(plan.names(), f"fetching {card.name}", len(plan.names())):
        with say_if_full(out / name):
            known = plan.checksums.get(name) or noted.get(name)
            path = out / name
            _one(card, f"{base.rstrip('/')}/{name}", path, known)
            if known is None:
                noted[name] = f"sha256:{pooch.file_hash(str(path))}"
                write_json(out / NOTED, noted)
            got.append(_unpacked(path, out / plan.unpack[name]) if name in plan.unpack else path)
    return got


def _noted(out: Path) -> dict[str, str]:
    return read_json(out / NOTED, dict[str, str]) if (out / NOTED).exists() else {}


def _one(card: DataCard, url: str, path: Path, known: str | None) -> None:
    """Get one file through Pooch, which compares the checksum and moves the file into place."""
    part = path.with_name(f".{path.name}.part")
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, known, path.name, path.parent, downloader=partial(_download, part=part))
    except requests.RequestException as error:
        answer = error.response
        reason = "no connection" if answer is None else f"{answer.status_code} {answer.reason}"
        raise Failure(
            f"{url} cannot be downloaded ({reason}); start again to go on, or place the file by hand as {path}, "
            f"and the others likewise. {card.how_to_get}"
        ) from error
    except ValueError as error:
        raise Failure(
            f"{url} has not the checksum {known} of the card; a damaged or another file was discarded."
        ) from error


def _download(url: str, output: str, _: object, *, part: Path) -> None:
    """Continue `part` where it stopped, unless the file has changed since, and give it to Pooch as `output`."""
    note = part.with_name(f"{part.name}.json")
    tag = read_json(note, str | None) if note.is_file() and part.is_file() else None
    have = part.stat().st_size if tag else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-", "If-Range": tag} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        write_json(note, tag if resumed else answer.headers.get("ETag") or answer.headers.get("Last-Modified"))
        chunks = math.ceil(int(answer.headers.get("Content-Length", 0)) / CHUNK)
        with open(part, "ab" if resumed else "wb") as file:
            for chunk in progress(answer.iter_content(CHUNK), f"{part.stem[1:]}, MiB", chunks):
                file.write(chunk)
    os.replace(part, output)
    note.unlink()


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack a tar archive into a new folder, all of it or nothing; a folder that is there was unpacked before."""
    if folder.is_dir():
        return folder
    try:
        with tarfile.open(path) as archive, folder_atomically(folder) as partial_folder:
            archive.extractall(partial_folder, filter="data")
    except tarfile.FilterError as error:
        raise InputError(f"{path} is unsafe, nothing was unpacked: {error}.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged or no tar archive ({error}); remove it and fetch it again.") from error
    return folder
