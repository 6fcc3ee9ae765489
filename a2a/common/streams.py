"""Standard streams that are always there and never refuse a character."""

import io
import os
import sys


def secure_streams() -> None:
    """Give this process the standard streams that its caller closed, and let none fail for a file name.

    Without them the next file that is opened would receive what compiled code writes to standard error. Bytes of a
    file name that are no text are printed as ``\\udc..``.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
