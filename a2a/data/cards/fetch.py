"""Downloading a public data set: checked, resumed after an interruption, unpacked without leaving its folder."""

import errno
import gzip
import hashlib
import json
import math
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from a2a.common.documents import read_json
from a2a.common.errors import Failure, InputError
from a2a.common.files import folder_atomically, no_room, say_if_full, write_json
from a2a.common.outputs import check_place, hold
from a2a.common.progress import progress
from a2a.data.cards.card import DataCard

CHUNK = 2**20
TIMEOUT_S = 30
NOTED = "checksums.json"
_WEB_PAGE = (b"<!doctype html", b"<html", b"<?xml")


def fetch(card: DataCard, out: Path | str, base_url: str | None = None) -> list[Path]:
    """Download every file that a card names and is not there yet.

    What arrives is checked (whole, of its kind, its checksum) before it is put in place; what is refused is discarded,
    so that it can be fetched again. A file that is there is compared with its checksum and kept. Where the card knows
    no checksum, that of the first download is noted in ``checksums.json`` and holds from then on. An interrupted
    download goes on where it stopped. Archives are unpacked without their links; one with an entry that points outside
    is refused as a whole.

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
        If the card has no download, `out` cannot be used, or an archive is unsafe or damaged.
    Failure
        If the network cannot be reached, a file is not there, damaged or has another checksum, another process fetches
        into `out`, or the disk is full.
    """
    if card.download is None:
        raise InputError(f"{card.title} cannot be downloaded by a program. {card.how_to_get}")
    out, plan, base = Path(out), card.download, (base_url or card.download.base_url).rstrip("/")
    place = check_place(out)
    if place.exists() and not place.is_dir():
        raise InputError(f"{out} is a file; name a folder for --out.")
    got = []
    with hold(place, inside=True):
        noted = _noted(out)
        for name in progress(plan.names(), f"fetching {card.name}", len(plan.names())):
            file = _File(card, f"{base}/{name}", out / name, name in plan.unpack, plan.checksums.get(name))
            with say_if_full(out / name):
                found = file.get(noted.get(name))
                if file.known is None and name not in noted:
                    noted[name] = found
                    write_json(out / NOTED, noted)
                got.append(_unpacked(file.path, out / plan.unpack[name]) if file.archive else file.path)
    return got


def _noted(out: Path) -> dict[str, str]:
    return read_json(out / NOTED, dict[str, str]) if (out / NOTED).exists() else {}


@dataclass(frozen=True)
class _File:
    """One file of a download, and the checksum that the card knows of it."""

    card: DataCard
    url: str
    path: Path
    archive: bool
    known: str | None

    def get(self, noted: str | None) -> str:
        """Put the file in place, unless it is there, and return its checksum."""
        wanted = self.known or noted
        part = self.path.with_name(f".{self.path.name}.part")
        note = part.with_name(f"{part.name}.json")
        if self.path.is_file() and (wanted is None or checksum(self.path, wanted) == wanted):
            for left in (part, note):
                left.unlink(missing_ok=True)
            if wanted is None and (fault := _fault(self.path, self.path.name, self.archive)):
                raise Failure(f"{self.path} is {fault}; remove it and start again.")
            return wanted or checksum(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._reach(part, note)
        found = checksum(part, wanted)
        fault = _fault(part, self.path.name, self.archive)
        if fault or (wanted is not None and found != wanted):
            part.unlink()
            note.unlink(missing_ok=True)
            raise Failure(self._refusal(fault, noted))
        os.replace(part, self.path)
        note.unlink(missing_ok=True)
        return found

    def _reach(self, part: Path, note: Path) -> None:
        """Download, or say why that is not possible and what can be done."""
        try:
            _download(self.url, part, note)
        except requests.RequestException as error:
            answer = error.response
            reason = "no connection" if answer is None else f"{answer.status_code} {answer.reason}"
            raise Failure(
                f"{self.url} cannot be downloaded ({reason}); start again to go on, or place the file by hand as "
                f"{self.path}, and the others likewise. {self.card.how_to_get}"
            ) from error

    def _refusal(self, fault: str, noted: str | None) -> str:
        """Say why what arrived was discarded."""
        if fault:
            return f"{self.url}: what arrived is {fault}; it was discarded, start again to fetch it anew."
        if self.known:
            return f"{self.url} has not the checksum {self.known} of the card; a damaged or another file was discarded."
        return (
            f"{self.url} has not the checksum {noted} that the first download of it had; it was discarded. If the file "
            f"was meant to change, remove its line from {NOTED} and start again."
        )


def checksum(path: Path, like: str | None = None) -> str:
    """Return ``"sha256:..."`` of a file, or its digest by the algorithm of the checksum `like`."""
    algorithm = like.partition(":")[0] if like else "sha256"
    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _fault(path: Path, name: str, archive: bool) -> str:
    """What is wrong with a file of this name, as far as that can be seen without knowing it; empty if nothing is."""
    with open(path, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(_WEB_PAGE) and not name.endswith((".html", ".htm", ".xml")):
        return "a web page and not the file, perhaps a login or a message"
    try:
        if archive:
            with tarfile.open(path) as found:
                members = found.getmembers()
                for member in members:
                    tarfile.data_filter(member, str(path.parent))
            if not members:
                return "an empty archive"
        if name.endswith((".gz", ".tgz")):
            with gzip.open(path) as packed:
                if not packed.read(1):
                    return "empty"
                while packed.read(CHUNK):
                    pass
    except tarfile.FilterError as error:
        return f"unsafe ({error})"
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        return f"damaged or no {'tar archive' if archive else 'gzip file'} ({' '.join(str(error).split())})"
    return ""


def _download(url: str, part: Path, note: Path) -> None:
    """Continue `part` where it stopped, unless the file has changed since; `note` says what it is a part of."""
    known = _read_note(note) if part.is_file() else {}
    have = part.stat().st_size if known.get("tag") else 0
    if have and have == known.get("size"):
        return  # all of it had arrived before the end came
    headers = {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={have}-", "If-Range": known["tag"]} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            return _download(url, part, note)
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        length = int(answer.headers.get("Content-Length", 0))
        if length > (free := shutil.disk_usage(part.parent).free):
            raise Failure(no_room(part.with_name(part.name[1:].removesuffix(".part")), errno.ENOSPC, length - free))
        size = have * resumed + length if length else None
        tag = known["tag"] if resumed else answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        write_json(note, {"tag": tag, "size": size})
        with open(part, "ab" if resumed else "wb") as file:
            for chunk in progress(answer.iter_content(CHUNK), f"{part.stem[1:]}, MiB", math.ceil(length / CHUNK)):
                file.write(chunk)
            os.fsync(file.fileno())
    if size is not None and part.stat().st_size != size:
        raise requests.ConnectionError(f"{part.stat().st_size} of {size} bytes arrived")


def _read_note(note: Path) -> Mapping:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _unpacked(path: Path, folder: Path) -> Path:
    """Unpack a tar archive into a new folder, all of it or nothing; a folder that is there was unpacked before."""
    if folder.is_dir():
        return folder
    try:
        with tarfile.open(path) as archive, folder_atomically(folder) as partial_folder:
            archive.extractall(partial_folder, filter=_without_links)
    except tarfile.FilterError as error:
        raise InputError(f"{path} is unsafe, nothing was unpacked: {error}.") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged or no tar archive ({error}); remove it and fetch it again.") from error
    return folder


def _without_links(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Refuse entries that point outside, as tarfile's filter "data" does, and leave all links out.

    Chains of links that are longer than a path may be deceive that filter (CVE-2025-4517); without links there are
    none.
    """
    checked = tarfile.data_filter(member, folder)
    return None if member.issym() or member.islnk() else checked
