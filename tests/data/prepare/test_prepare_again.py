"""Runs that are killed, meet each other or a full disk: nothing is half-written, in the end the bytes are the same."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from a2a.cli import main
from a2a.common.errors import InputError
from a2a.data.cards.card import DataCard, find_card, load_card
from a2a.data.prepare.prepare import prepare
from a2a.data.prepare.workplace import Workplace
from a2a.data.store.read import SliceStore

SIZE = 24
PATIENTS = [f"patient{i:02d}" for i in range(1, 6)]
NOBODY = 65534


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def five(tmp_path: Path, head: Callable, write_scan: Callable) -> tuple[Path, Path]:
    """A card with five patients, and their folder."""
    for seed, patient in enumerate(PATIENTS):
        for i, modality in enumerate(("T1", "T1POST", "T2", "FLAIR")):
            write_scan(tmp_path / "data" / patient / f"{modality}.nii.gz", head(10 * seed + i), "LAS")
    content = yaml.safe_load(find_card("open-ms").read_text(encoding="utf-8"))
    content["profiles"] = {"ci": {"train": PATIENTS[:4], "test": PATIENTS[4:]}}
    card = tmp_path / "five.yaml"
    card.write_text(yaml.safe_dump(content), encoding="utf-8")
    return card, tmp_path / "data"


def _start(card: Path, root: Path, out: Path, workers: int) -> subprocess.Popen:
    words = [sys.executable, "-m", "a2a", "prepare", str(card), "--root", str(root), "--out", str(out)]
    return subprocess.Popen(
        [*words, "--size", str(SIZE), "--workers", str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"A2A_QUIET": "0"},
    )


def _parts(out: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in out.with_name(f".{out.name}.preparing").glob("[!.]*.npz")}


def _wait(process: subprocess.Popen, reached: Callable[[], bool]) -> bool:
    """Whether a state was seen before the process ended."""
    while process.poll() is None:
        if reached():
            return True
    return False


@pytest.mark.long
def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    five: tuple[Path, Path], tmp_path: Path
) -> None:
    card, root = five
    prepare(card, tmp_path / "straight", root, size=SIZE)
    out = tmp_path / "place" / "store"
    out.parent.mkdir()
    moments = [
        lambda: (out.parent / ".store.preparing").exists(),
        lambda: len(_parts(out)) >= 1,
        lambda: len(_parts(out)) >= 3,
        lambda: any(out.parent.glob(".store.*.partial")),
    ]
    for moment in moments:
        before = _parts(out)
        process = _start(card, root, out, 1)
        if not _wait(process, moment):
            assert moment is moments[-1] and process.returncode == 0  # it was too fast to be met there
            break
        process.kill()
        process.wait()
        if out.exists():
            assert moment is moments[-1]  # the kill came after the last rename
            break
        assert before.items() <= _parts(out).items()  # what was finished is not made again
    assert _start(card, root, out, 1).wait() == 0
    assert _files(out) == _files(tmp_path / "straight")
    assert os.listdir(out.parent) == ["store"]


@pytest.mark.long
def test_random_kills_of_several_workers_leave_neither_orphans_nor_other_bytes(
    five: tuple[Path, Path], tmp_path: Path
) -> None:
    card, root = five
    prepare(card, tmp_path / "straight", root, size=SIZE)
    out, chance = tmp_path / "place" / "store", random.Random(3)
    for _ in range(3):
        process = _start(card, root, out, 2)
        working = out.with_name(".store.preparing")
        _wait(process, working.exists)
        time.sleep(chance.uniform(0, 4))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        assert psutil.wait_procs(children, timeout=20)[1] == []
        assert not out.exists() or SliceStore.open(out, verify=True)
    prepare(card, out, root, size=SIZE, workers=2)
    assert _files(out) == _files(tmp_path / "straight")
    assert os.listdir(out.parent) == ["store"]


@pytest.mark.long
def test_runs_on_the_same_store_wait_for_the_first_and_take_what_it_made(
    five: tuple[Path, Path], tmp_path: Path
) -> None:
    card, root = five
    out = tmp_path / "place" / "store"
    with Workplace(out):
        others = [_start(card, root, out, 1) for _ in range(3)]
        said = [other.stderr.readline() for other in others]
        assert said == [f"a2a: waiting for another process that is writing {out}\n"] * 3
        assert not out.exists()
    assert [other.wait() for other in others] == [0, 0, 0]
    assert sum("reused" in other.stdout.read() for other in others) == 2
    assert os.listdir(out.parent) == ["store"]


def test_what_was_left_beside_a_complete_store_is_swept_away(five: tuple[Path, Path], tmp_path: Path) -> None:
    card, root = five
    out = tmp_path / "place" / "store"
    prepare(card, out, root, size=SIZE)
    (out.parent / ".store.preparing").mkdir()
    (out.parent / ".store.preparing" / "patient01-0.npz").write_bytes(b"left")
    assert prepare(card, out, root, size=SIZE).reused
    assert os.listdir(out.parent) == ["store"]


def test_a_damaged_part_is_made_again(five: tuple[Path, Path], tmp_path: Path) -> None:
    card, root = five
    prepare(card, tmp_path / "straight", root, size=SIZE)
    out = tmp_path / "place" / "store"
    process = _start(card, root, out, 1)
    _wait(process, lambda: len(_parts(out)) >= 2)
    process.kill()
    process.wait()
    for part in out.with_name(".store.preparing").glob("*.npz"):
        part.write_bytes(part.read_bytes()[:1000])
    prepare(card, out, root, size=SIZE)
    assert _files(out) == _files(tmp_path / "straight")


@pytest.mark.long
def test_two_runs_at_once_make_one_good_store(five: tuple[Path, Path], tmp_path: Path) -> None:
    card, root = five
    out = tmp_path / "store"
    codes = sorted(process.wait() for process in [_start(card, root, out, 1), _start(card, root, out, 1)])
    assert codes in ([0, 0], [0, 1])
    prepare(card, tmp_path / "alone", root, size=SIZE)
    assert _files(out) == _files(tmp_path / "alone")


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [30_000, 130_000])  # a finished subject does not fit; a split of the store does not
def test_a_full_disk_ends_the_run_with_a_sentence_and_the_next_one_goes_on(
    size: int, five: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    card, root = five
    prepare(card, tmp_path / "straight", root, size=SIZE)
    out = tmp_path / "place" / "store"
    arguments = ["prepare", str(card), "--root", str(root), "--out", str(out), "--size", str(SIZE), "--workers", "1"]
    with _largest_file(size), pytest.raises(SystemExit) as leave:
        main(arguments)
    assert leave.value.code == 1
    assert f"There is no room to write {out}: files of this process may" in capsys.readouterr().err
    assert set(os.listdir(out.parent)) <= {".store.preparing"}
    assert not any(p.name.startswith(".") for p in out.parent.glob(".store.preparing/*"))
    prepare(card, out, root, size=SIZE)
    assert _files(out) == _files(tmp_path / "straight")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_small_disk_is_told_what_it_lacks(
    five: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True).returncode:
        pytest.skip("this system does not let root mount a small disk")
    try:
        with pytest.raises(SystemExit) as leave:
            main(["prepare", str(five[0]), "--root", str(five[1]), "--out", str(disk / "store"), "--size", str(SIZE)])
        assert leave.value.code == 1
        wanted = r"no room to write .*/store: .* are free on its disk; free \d.* [kMG]B there"
        assert re.search(wanted, capsys.readouterr().err)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_read_only_place_is_named(tmp_path: Path) -> None:
    card = load_card("phantom-any2all").model_dump(mode="json")
    card["profiles"] = {"ci": {"train": ["0"], "test": ["1"], "slices": 2}}
    tiny = DataCard.model_validate(card)
    prepare(tiny, tmp_path / "store")  # imports all it needs, which nobody may not be allowed to read
    with tempfile.TemporaryDirectory() as folder, _unprivileged(Path(folder)):
        with pytest.raises(InputError, match=r"store cannot be written \(no permission to write in .*\)"):
            prepare(tiny, Path(folder) / "store")
        assert os.listdir(folder) == []


@contextmanager
def _unprivileged(folder: Path) -> Iterator[None]:
    """Make a folder read-only, and be somebody to whom that matters."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.mark.long
def test_a_worker_that_dies_is_a_sentence_and_what_was_done_is_kept(five: tuple[Path, Path], tmp_path: Path) -> None:
    card, root = five
    out = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-m", "a2a", "prepare", str(card), "--root", str(root), "--out", str(out), "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        workers = [p for p in psutil.Process(process.pid).children() if "spawn_main" in " ".join(p.cmdline())]
        if _parts(out) and workers:
            workers[0].send_signal(signal.SIGKILL)
            break
    told = process.communicate()[1]
    assert process.returncode == 1 and "A worker process died" in told and _parts(out) and not out.exists()
