"""Downloads from a server that the test starts: checksums, resume, archives, and no network."""

import gzip
import hashlib
import http.server
import io
import json
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from a2a.cli import main
from a2a.common.errors import Failure, InputError
from a2a.common.outputs import hold
from a2a.data.cards.card import DataCard, load_card
from a2a.data.cards.fetch import fetch


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with ETag and ranges; breaks off after `server.stop_after` bytes, once."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer as a web server does that can resume."""
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        body = path.read_bytes()
        tag = f'"{hashlib.md5(body).hexdigest()}"'
        start = 0
        if self.headers.get("Range") and self.headers.get("If-Range") == tag:
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(body):
            self.server.asked.append((path.name, start))
            return self.send_error(416)
        self.server.asked.append((path.name, start))
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body)
        if self.server.stop_after:
            end, self.server.stop_after = start + self.server.stop_after, 0
            self.close_connection = True
        self.wfile.write(body[start:end])


class _Server(http.server.ThreadingHTTPServer):
    """Remembers what was asked for."""

    stop_after = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.asked: list[tuple[str, int]] = []
        self.folder = folder

    @property
    def url(self) -> str:
        """Address of the folder."""
        return f"http://127.0.0.1:{self.server_port}/"


def _packed(text: str) -> bytes:
    """A gzip file of 2.6 MB."""
    return gzip.compress(text.encode() * (2_600_000 // len(text)), compresslevel=0, mtime=0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    """A web server with two subjects."""
    folder = tmp_path / "web"
    for subject in ("patient01", "patient02"):
        (folder / subject).mkdir(parents=True)
        for name in ("T1", "T2"):
            (folder / subject / f"{name}.nii.gz").write_bytes(_packed(f"{subject} {name} "))
    running = _Server(folder)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def card_of(server: _Server) -> Callable[..., DataCard]:
    """Make a card with these files to download."""

    def make(**download: object) -> DataCard:
        files = {"files": ["{subject}/T1.nii.gz", "{subject}/T2.nii.gz"], "subjects": ["patient01..02"]}
        content = load_card("open-ms").model_dump(mode="json")
        return DataCard.model_validate(content | {"download": {"base_url": server.url} | (download or files)})

    return make


def _sum(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_all_files_come_once_and_their_checksums_are_noted(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    out, card = tmp_path / "got it", card_of()
    got = fetch(card, out)
    assert [p.relative_to(out).as_posix() for p in got] == list(card.download.names()) and len(got) == 4
    assert all(path.read_bytes() == (server.folder / path.relative_to(out)).read_bytes() for path in got)
    noted = json.loads((out / "checksums.json").read_text())
    assert noted == {path.relative_to(out).as_posix(): _sum(path) for path in got}
    assert fetch(card, out) == got and len(server.asked) == 4


def test_an_interrupted_download_goes_on_where_it_stopped(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    card = card_of()
    server.stop_after = 1_500_000
    with pytest.raises(Failure, match=r"T1.nii.gz cannot be downloaded \(no connection\); start again to go on"):
        fetch(card, tmp_path / "out")
    assert not (tmp_path / "out" / "patient01" / "T1.nii.gz").exists()
    fetch(card, tmp_path / "out")
    (first, start), (again, resumed) = server.asked[:2]
    assert first == again == "T1.nii.gz" and start == 0 and 0 < resumed <= 1_500_000
    assert (tmp_path / "out/patient01/T1.nii.gz").read_bytes() == (server.folder / "patient01/T1.nii.gz").read_bytes()
    assert [p.name for p in (tmp_path / "out" / "patient01").iterdir() if p.name.startswith(".")] == []


def test_a_file_that_changed_meanwhile_is_begun_anew(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    server.stop_after = 1_500_000
    with pytest.raises(Failure):
        fetch(card_of(), tmp_path / "out")
    (server.folder / "patient01" / "T1.nii.gz").write_bytes(_packed("new"))
    fetch(card_of(), tmp_path / "out")
    assert (tmp_path / "out" / "patient01" / "T1.nii.gz").read_bytes() == _packed("new")
    assert server.asked[1] == ("T1.nii.gz", 0)


def test_another_checksum_is_refused_and_nothing_is_kept(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    card = card_of(files=["patient01/T1.nii.gz"], checksums={"patient01/T1.nii.gz": f"sha256:{'0' * 64}"})
    with pytest.raises(Failure, match="has not the checksum sha256:000"):
        fetch(card, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*T1*"))


def test_a_known_checksum_admits_a_file_that_was_placed_by_hand(
    server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    name = "patient01/T1.nii.gz"
    card = card_of(files=[name], checksums={name: _sum(server.folder / name)})
    (tmp_path / "out" / "patient01").mkdir(parents=True)
    (tmp_path / "out" / name).write_bytes((server.folder / name).read_bytes())
    fetch(card, tmp_path / "out")
    assert server.asked == []


def test_a_missing_file_says_how_to_place_it_by_hand(card_of: Callable, tmp_path: Path, server: _Server) -> None:
    with pytest.raises(Failure) as caught:
        fetch(card_of(files=["nowhere/T1.nii.gz"]), tmp_path / "out")
    told = str(caught.value)
    assert f"{server.url}nowhere/T1.nii.gz cannot be downloaded (404 " in told
    assert (
        str(tmp_path / "out" / "nowhere" / "T1.nii.gz") in told and "Clone" not in told and "clone the public" in told
    )


def _tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for info, body in entries:
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))


def test_archives_are_unpacked_once(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    _tar(server.folder / "IXI-T1.tar", [(tarfile.TarInfo("IXI002-Guys-0828-T1.nii.gz"), b"image")])
    card = card_of(files=["IXI-T1.tar"], unpack={"IXI-T1.tar": "IXI-T1"})
    (folder,) = fetch(card, tmp_path / "out")
    assert (folder / "IXI002-Guys-0828-T1.nii.gz").read_bytes() == b"image"
    before = folder.stat().st_mtime_ns
    assert fetch(card, tmp_path / "out") == [folder] and folder.stat().st_mtime_ns == before


def _outside() -> tarfile.TarInfo:
    return tarfile.TarInfo("../outside.txt")


def _link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("link")
    info.type, info.linkname = tarfile.SYMTYPE, "../../etc"
    return info


@pytest.mark.parametrize("entry", [_outside, _link])
def test_an_archive_that_points_outside_is_refused_as_a_whole(
    entry: Callable, server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    _tar(server.folder / "x.tar", [(tarfile.TarInfo("good.txt"), b"good"), (entry(), b"")])
    with pytest.raises(Failure, match="x.tar: what arrived is unsafe .*; it was discarded"):
        fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}), tmp_path / "out")
    assert not (tmp_path / "outside.txt").exists() and not (tmp_path / "out" / "outside.txt").exists()
    assert list((tmp_path / "out").iterdir()) == []
    sums = {"x.tar": _sum(server.folder / "x.tar")}
    (tmp_path / "out" / "x.tar").write_bytes((server.folder / "x.tar").read_bytes())
    with pytest.raises(InputError, match="x.tar is unsafe, nothing was unpacked"):
        fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}, checksums=sums), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["x.tar"]


def _chain() -> list[tuple[tarfile.TarInfo, bytes]]:
    """Links whose resolved path is longer than a path may be, and a file that goes through them to the outside."""

    def info(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tuple[tarfile.TarInfo, bytes]:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname, entry.mode = kind, to, 0o755
        return entry, b"ok" * (kind == tarfile.REGTYPE)

    long, steps, path, entries = "d" * 247, "abcdefghijklmnop", "", []
    for step in steps:
        entries += [info(f"{path}{long}", tarfile.DIRTYPE), info(f"{path}{step}", tarfile.SYMTYPE, long)]
        path += f"{long}/"
    link = f"{'/'.join(steps)}/{'l' * 254}"
    entries.append(info(link, tarfile.SYMTYPE, "../" * len(steps)))
    entries.append(info("escape", tarfile.SYMTYPE, f"{link}/../../outside"))
    return [*entries, info("escape/harmless.txt")]


def test_links_in_archives_are_left_out_also_a_chain_that_deceives_tarfile(
    server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    inside = tarfile.TarInfo("shortcut")
    inside.type, inside.linkname = tarfile.SYMTYPE, "good.txt"
    _tar(server.folder / "x.tar", [(tarfile.TarInfo("good.txt"), b"good"), (inside, b"")])
    (folder,) = fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}), tmp_path / "out")
    assert [p.name for p in folder.iterdir()] == ["good.txt"]
    (tmp_path / "there" / "outside").mkdir(parents=True)
    _tar(server.folder / "x.tar", _chain())
    with suppress(InputError, Failure):
        fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}), tmp_path / "there")
    assert list((tmp_path / "there" / "outside").iterdir()) == []
    assert not any(path.is_symlink() for path in (tmp_path / "there").rglob("*"))


FAULTS = {
    "no archive": ("x.tar", b"no archive" * 100, "damaged or no tar archive"),
    "a web page": ("x.tar", b"\n<!DOCTYPE html><title>Log in</title>", "a web page and not the file"),
    "half a gzip file": ("x.nii.gz", _packed("x")[:1000], "damaged or no gzip file"),
    "a flipped bit": ("x.nii.gz", _packed("x")[:-500] + b"!" + _packed("x")[-499:], "damaged or no gzip file"),
    "nothing": ("x.nii.gz", b"", "empty"),
}


@pytest.mark.parametrize("name, body, words", FAULTS.values(), ids=FAULTS)
def test_what_arrives_damaged_is_neither_noted_nor_kept_and_can_be_fetched_again(
    name: str, body: bytes, words: str, server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    (server.folder / name).write_bytes(body)
    card = card_of(files=[name], unpack={"x.tar": "x"} if name == "x.tar" else {})
    with pytest.raises(Failure, match=f"{name}: what arrived is {words}.*; it was discarded, start again"):
        fetch(card, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    if name == "x.tar":
        _tar(server.folder / name, [(tarfile.TarInfo("good.txt"), b"good")])
    else:
        (server.folder / name).write_bytes(_packed("x"))
    (got,) = fetch(card, tmp_path / "out")
    assert got.exists() and list(json.loads((tmp_path / "out" / "checksums.json").read_text())) == [name]


def test_a_checksum_that_was_noted_here_is_not_called_that_of_the_card(
    server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    card = card_of(files=["patient01/T1.nii.gz"])
    (got,) = fetch(card, tmp_path / "out")
    got.unlink()
    (server.folder / "patient01" / "T1.nii.gz").write_bytes(_packed("new"))
    with pytest.raises(Failure, match="that the first download of it had; .* remove its line from checksums.json"):
        fetch(card, tmp_path / "out")
    (tmp_path / "out" / "checksums.json").unlink()
    assert fetch(card, tmp_path / "out")[0].read_bytes() == _packed("new")


@pytest.mark.parametrize("lost", ["nothing", "the rename", "the note"])
def test_a_fetch_that_was_killed_around_its_last_rename_goes_on(
    lost: str, server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    card, out = card_of(files=["patient01/T1.nii.gz"]), tmp_path / "out" / "patient01"
    whole = (server.folder / "patient01" / "T1.nii.gz").read_bytes()
    out.mkdir(parents=True)
    tag = f'"{hashlib.md5(whole).hexdigest()}"'
    size = None if lost == "nothing" else len(whole)  # of a server that did not say how much would come
    (out / ".T1.nii.gz.part.json").write_text(json.dumps({"tag": tag, "size": size}))
    (out / ("T1.nii.gz" if lost == "the note" else ".T1.nii.gz.part")).write_bytes(whole)
    fetch(card, tmp_path / "out")
    assert (out / "T1.nii.gz").read_bytes() == whole and [p.name for p in out.iterdir()] == ["T1.nii.gz"]
    assert len(server.asked) == (2 if lost == "nothing" else 0)


def test_fetches_killed_at_any_moment_end_with_the_same_files(
    server: _Server, card_of: Callable, tmp_path: Path
) -> None:
    content = load_card("open-ms").model_dump(mode="json")
    _tar(server.folder / "x.tar", [(tarfile.TarInfo(f"{i}.txt"), b"t" * 1000) for i in range(300)])
    names = [*card_of().download.names(), "x.tar"]
    content["download"] = {"base_url": server.url, "files": names, "unpack": {"x.tar": "x"}}
    (tmp_path / "card.yaml").write_text(json.dumps(content))
    words = [sys.executable, "-m", "a2a", "data", "fetch", str(tmp_path / "card.yaml"), "--out", str(tmp_path / "out")]
    moments = ["patient01/.T1.nii.gz.part", "patient02/T1.nii.gz", "x.tar"]
    for moment in moments:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (tmp_path / "out" / moment).exists():
            time.sleep(0.001)
        process.kill()
        process.wait()
    assert subprocess.run(words, capture_output=True).returncode == 0
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == sorted([*names, "checksums.json", *(f"x/{i}.txt" for i in range(300))])
    assert all((tmp_path / "out" / name).read_bytes() == (server.folder / name).read_bytes() for name in names)


def test_two_fetches_do_not_share_a_folder(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    with hold(tmp_path / "out", inside=True), pytest.raises(Failure, match="out is being written by another process"):
        fetch(card_of(), tmp_path / "out")
    assert server.asked == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file; name a folder"):
        fetch(card_of(), tmp_path / "file")


def test_the_command_without_network_and_for_data_that_need_a_person(
    tmp_path: Path, server: _Server, capsys: pytest.CaptureFixture
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(SystemExit) as leave:
        main(["data", "fetch", "ixi", "--out", str(tmp_path / "out"), "--base-url", server.url])
    told = capsys.readouterr()
    assert leave.value.code == 1 and "CC BY-SA 3.0" in told.out
    assert "(no connection)" in told.err and "unpack each into a folder of its name" in told.err
    with pytest.raises(SystemExit) as leave:
        main(["data", "fetch", "brats2019", "--out", str(tmp_path / "other")])
    assert leave.value.code == 2 and "Register with the organisers" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_the_command_ends_with_what_to_run_next(
    server: _Server, tmp_path: Path, capsys: pytest.CaptureFixture, card_of: Callable
) -> None:
    names = card_of().download.names()
    content = load_card("open-ms").model_dump(mode="json") | {"download": {"base_url": "http://x/", "files": names}}
    (tmp_path / "card.yaml").write_text(json.dumps(content))
    words = ["data", "fetch", str(tmp_path / "card.yaml"), "--out", str(tmp_path / "out"), "--base-url", server.url]
    with pytest.raises(SystemExit) as leave:
        main(words)
    told = capsys.readouterr().out
    assert leave.value.code == 0 and f"a2a prepare open-ms --root {tmp_path / 'out'} --profile full" in told
