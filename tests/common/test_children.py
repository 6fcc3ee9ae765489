"""Processes that this one starts end with it, whether it is asked to end or killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from a2a.common.children import worker_processes

PROGRAM = """
import os, subprocess, sys, time
from a2a.common.children import end_with_parent, leave_on_signals, worker_processes

def work(_):
    print(os.getpid(), flush=True)
    while True:  # at full load, as in a cell that computes
        pass

if __name__ == "__main__":
    with leave_on_signals(), worker_processes(2) as pool:
        list(pool.map(work, range(2)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_at_full_load_end_with_their_parent(tmp_path: Path, number: int) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    process = subprocess.Popen([sys.executable, tmp_path / "program.py"], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
    process.send_signal(number)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    assert process.wait(20) == (-signal.SIGKILL if number == signal.SIGKILL else 128 + signal.SIGTERM)


def test_a_block_that_fails_ends_its_workers_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), worker_processes(1) as pool:
        pool.submit(time.sleep, 600)
        1 / 0  # noqa: B018
    assert time.monotonic() - began < 60


def test_what_a_worker_does_first_is_done_once_in_each() -> None:
    with worker_processes(2, os.putenv, ("A2A_TEST", "begun")) as pool:
        found = pool.submit(subprocess.check_output, ["printenv", "A2A_TEST"], text=True).result()
    assert found == "begun\n"


def test_a_process_whose_parent_is_gone_already_does_not_begin() -> None:
    program = "from a2a.common.children import end_with_parent; end_with_parent(1); print('begun')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
