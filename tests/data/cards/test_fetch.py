"""Downloads from a server that the test starts: checksums, resume, archives, and no network."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from a2a.cli import main
from a2a.common.errors import Failure, InputError
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    """A web server with two subjects."""
    folder = tmp_path / "web"
    for subject in ("patient01", "patient02"):
        (folder / subject).mkdir(parents=True)
        for name in ("T1", "T2"):
            (folder / subject / f"{name}.nii.gz").write_bytes(f"{subject} {name} ".encode() * 200_000)
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
    (server.folder / "patient01" / "T1.nii.gz").write_bytes(b"new" * 700_000)
    fetch(card_of(), tmp_path / "out")
    assert (tmp_path / "out" / "patient01" / "T1.nii.gz").read_bytes() == b"new" * 700_000
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
    with pytest.raises(InputError, match="x.tar is unsafe, nothing was unpacked"):
        fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}), tmp_path / "out")
    assert not (tmp_path / "outside.txt").exists() and not (tmp_path / "out" / "outside.txt").exists()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["checksums.json", "x.tar"]


def test_a_damaged_archive_is_a_sentence(server: _Server, card_of: Callable, tmp_path: Path) -> None:
    (server.folder / "x.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(InputError, match="x.tar is damaged or no tar archive"):
        fetch(card_of(files=["x.tar"], unpack={"x.tar": "x"}), tmp_path / "out")
    assert not (tmp_path / "out" / "x").exists()


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
