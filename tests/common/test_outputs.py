"""Where commands write: refused early, held by one, swept after the dead, and never without the old or the new."""

import errno
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from a2a.common import files
from a2a.common.errors import Failure, InputError
from a2a.common.files import (
    folder_atomically,
    no_room,
    put_in_place,
    say_if_full,
    temporary,
    write_atomically,
    write_json,
)
from a2a.common.outputs import OutputFolder, check_file, check_place, hold

NOBODY = 65534


def folder(path: Path, overwrite: bool = False) -> OutputFolder:
    """Return the place of a folder that is ours when it holds ``whole``."""
    return OutputFolder(path, "test", lambda found: (found / "whole").is_file(), overwrite)


def names(path: Path) -> list[str]:
    """Everything below a folder."""
    return sorted(found.relative_to(path).as_posix() for found in path.rglob("*"))


def test_a_folder_appears_complete_and_only_an_earlier_one_is_replaced_when_asked(tmp_path):
    with folder(tmp_path / "deep" / "out").make() as made:
        (made / "whole").write_text("one")
        assert not (tmp_path / "deep" / "out").exists()
    assert names(tmp_path) == ["deep", "deep/out", "deep/out/whole"]
    with pytest.raises(InputError, match="out is not empty; add --overwrite to replace the test in it"):
        folder(tmp_path / "deep" / "out").check()
    with folder(tmp_path / "deep" / "out", overwrite=True).make() as made:
        (made / "whole").write_text("two")
    assert (tmp_path / "deep" / "out" / "whole").read_text() == "two" and len(names(tmp_path)) == 3
    with pytest.raises(InputError, match="deep is not empty and holds no test; choose another folder"):
        folder(tmp_path / "deep", overwrite=True).check()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (".", "is the folder you stand in, or above it; name a new folder"),
        ("..", "is the folder you stand in, or above it"),
        ("link-to-here", "is the folder you stand in"),
        ("file", "file is a file and no folder"),
        ("pipe", "pipe is a file and no folder"),
        ("file/below", "for .*file is no folder"),
        ("loop", "leads back to itself"),
        ("n" * 250, r"a name may have \d+ bytes at most"),
        ("n" * 300, "a name may have|File name too long"),
        ("/proc", "is a mount point, which cannot be replaced; name a folder in it"),
    ],
)
def test_a_place_that_cannot_be_used_is_refused_before_any_work(tmp_path, monkeypatch, out, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link-to-here").symlink_to(".")
    before = names(tmp_path)
    with pytest.raises(InputError, match=words), folder(Path(out)).make():
        pytest.fail("the work was begun")
    assert names(tmp_path) == before


def test_an_empty_folder_is_free_and_a_link_leads_to_where_the_results_go(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").symlink_to("scratch")
    (tmp_path / "later").symlink_to("disk/new")
    for out in ("out", "later"):
        with folder(tmp_path / out).make() as made:
            (made / "whole").touch()
        assert (tmp_path / out).is_symlink()
    assert names(tmp_path) == ["disk", "disk/new", "disk/new/whole", "later", "out", "scratch", "scratch/whole"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_place_where_nothing_may_be_written_is_named(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o755)
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(place.stat().st_mode | 0o055)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(InputError, match=r"out cannot be written \(no permission to write in .*theirs\)"):
            check_place(tmp_path / "theirs" / "out")
    finally:
        os.seteuid(0)


def test_room_is_asked_for_before_any_work(tmp_path):
    with pytest.raises(Failure, match=r"no room to write .*out: .* are free on its disk; free 1000000 TB there"):
        folder(tmp_path / "out").check(room=10**18)
    for reason, words in ((errno.EDQUOT, "share of this user"), (errno.ENOSPC, "free some there"), (errno.EFBIG, "-f")):
        with pytest.raises(Failure, match=f"no room to write .*out: .*{words}"), say_if_full(tmp_path / "out"):
            raise OSError(reason, "full")
    assert "free 3.0 GB there" in no_room(tmp_path, errno.ENOSPC, 3 * 10**9)


def test_one_process_holds_a_place_and_the_next_sweeps_what_dead_ones_left(tmp_path):
    out = tmp_path / "out"
    for left in (temporary(out), temporary(out, "old")):
        left.mkdir()
        (left / "patient.nii.gz").touch()
    out.mkdir()
    temporary(out / "map.nii.gz").touch()
    temporary(tmp_path / "other").touch()
    (tmp_path / ".out.mine").touch()
    with hold(out):
        assert [name for name in names(tmp_path) if "patient" in name or "map" in name] == []
        with pytest.raises(Failure, match="out is being written by another process; wait until"), hold(out):
            pytest.fail("two hold one place")
    kept = names(tmp_path)
    assert kept[0].startswith(".other.") or kept[0] == ".out.mine"
    assert len(kept) == 3 and "out" in kept and ".out.mine" in kept


def test_an_old_folder_that_a_dead_process_had_moved_aside_comes_back(tmp_path):
    old = temporary(tmp_path / "out", "old")
    old.mkdir()
    (old / "whole").touch()
    with hold(tmp_path / "out"):
        assert names(tmp_path) == [".out.lock", "out", "out/whole"]


@pytest.mark.parametrize("at_once", [True, False])
def test_folders_are_exchanged_with_and_without_help_of_the_system(tmp_path, monkeypatch, at_once):
    if not at_once:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for word in ("old", "new"):
        (tmp_path / word).mkdir()
        (tmp_path / word / word).touch()
    put_in_place(tmp_path / "new", tmp_path / "old")
    assert names(tmp_path) == ["old", "old/new"]


def test_what_another_program_put_there_meanwhile_stays_and_the_work_is_kept(tmp_path):
    with pytest.raises(Failure, match="out is not empty .* What was made meanwhile is kept as .*out-[0-9a-f]{8}"):
        with folder(tmp_path / "out").make() as made:
            (made / "whole").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").touch()
    assert names(tmp_path / "out") == ["theirs"] and any(tmp_path.glob("out-*/whole")) and len(names(tmp_path)) == 4


def test_equal_process_numbers_never_make_equal_names(tmp_path):
    assert len({temporary(tmp_path / "out") for _ in range(1000)}) == 1000


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_file_replaces_regular_files_only(tmp_path, kind):
    place = tmp_path / kind
    place.mkdir() if kind == "folder" else os.mkfifo(place)
    for refuse in (lambda: check_file(place), lambda: write_atomically(place, lambda path: path.write_text("x"))):
        with pytest.raises(InputError, match=f"{kind} is"):
            refuse()
    assert names(tmp_path) == [kind]


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path):
    write_json(tmp_path / "report.json", {"file": os.fsdecode(b"t\xeate.nii.gz")})
    assert (tmp_path / "report.json").read_text() == '{"file": "t\\udceate.nii.gz"}\n'


def exchange_for_ever(path: Path) -> None:
    """Replace a folder of 50 files again and again."""
    for number in range(10**9):
        with folder(path, overwrite=True).make() as made:
            for i in range(50):
                (made / str(i)).write_text(str(number))
            (made / "whole").touch()


def test_killed_at_any_moment_either_the_old_or_the_new_is_in_place(tmp_path):
    out, draw = tmp_path / "out", random.Random(0)
    with folder(out).make() as made:
        for i in range(50):
            (made / str(i)).write_text("first")
        (made / "whole").touch()
    for _ in range(20):
        child = multiprocessing.get_context("fork").Process(target=exchange_for_ever, args=(out,), daemon=True)
        child.start()
        time.sleep(draw.uniform(0.01, 0.1))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert (out / "whole").is_file() and len({(out / str(i)).read_text() for i in range(50)}) == 1
    with folder(out, overwrite=True).make() as made:
        (made / "whole").touch()
    assert names(tmp_path) == ["out", "out/whole"]


def test_a_terminated_process_leaves_nothing_half_written(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from a2a.common.children import leave_on_signals\n"
        "from a2a.common.files import folder_atomically\n"
        "with leave_on_signals(), folder_atomically(Path(sys.argv[1])) as made:\n"
        "    print(made, flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "out")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert Path(process.stdout.readline().strip()).is_dir()
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM and names(tmp_path) == []


def test_the_block_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(KeyboardInterrupt), folder_atomically(tmp_path / "out") as made:
        (made / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out", "out/old"]


def swap_for_ever(path: Path) -> None:
    """Put small folders in place, as often as possible."""
    while True:
        new = temporary(path)
        new.mkdir()
        (new / "whole").touch()
        put_in_place(new, path)


def test_at_no_moment_is_there_neither(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "whole").touch()
    child = multiprocessing.get_context("fork").Process(target=swap_for_ever, args=(out,), daemon=True)
    child.start()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert out.is_dir()
    child.kill()
    child.join()
