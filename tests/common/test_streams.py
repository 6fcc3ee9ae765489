"""Closed streams and names that are no text do not end a command."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from contextlib import suppress
from a2a.common.streams import secure_streams
from a2a.common.progress import progress, remark
import a2a.common.progress as shown
secure_streams()
shown.SECONDS_BETWEEN_LINES = 0
with open(sys.argv[1], "w") as file:
    with suppress(BrokenPipeError):
        os.write(2, b"from compiled code")
    remark("told")
    file.write(str(sum(progress(range(4), "counting"))))
print(os.fsdecode(b"t\\xeate"))
"""


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-", "1>&- 2>&-", "2>&1 | true", ""])
def test_work_is_done_whether_or_not_anybody_listens(tmp_path: Path, closed: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    line = f"{sys.executable} {tmp_path}/program.py {tmp_path}/result {closed}"
    done = subprocess.run(line, shell=True, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin"})
    assert (tmp_path / "result").read_text() == "6"
    assert done.returncode == 0 and done.stdout in ("t\\udceate\n", "")
