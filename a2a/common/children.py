"""Processes that this one starts: each ends with it, however it ends."""

import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_SECONDS_BETWEEN_LOOKS = 0.5


def end_with_parent(parent: int) -> None:
    """Let this process end as soon as its parent has, also when that was killed.

    On Linux the system sees to it, when the thread of the parent ends that started this process; elsewhere a thread
    looks once a second.

    Parameters
    ----------
    parent
        Number of the parent process.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        watch_parent(parent)
    if os.getppid() != parent:  # it ended before this process asked
        os._exit(1)


def watch_parent(parent: int) -> None:
    """Let a thread end this process when its parent has ended; it looks twice a second.

    Whichever thread of the parent started this process, and whether or not that thread still lives, does not matter.

    Parameters
    ----------
    parent
        Number of the parent process.
    """
    threading.Thread(target=_look_after, args=(parent,), daemon=True).start()


def _look_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)


@contextmanager
def worker_processes(
    count: int, begin: Callable[..., None] | None = None, arguments: Sequence[object] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of fresh processes that end with this one, and at once when the block fails.

    Parameters
    ----------
    count
        Number of processes.
    begin, arguments
        What each process does first.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    work = pickle.dumps((begin, tuple(arguments)))
    pool = ProcessPoolExecutor(count, context, _begin, (os.getpid(), work))
    try:
        yield pool
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int, work: bytes) -> None:
    """Tie this process to its parent before it imports what it needs, which may take long.

    A pool starts its processes when they are needed, from threads that may end before them.
    """
    watch_parent(parent)
    begin, arguments = pickle.loads(work)
    if begin:
        begin(*arguments)


@contextmanager
def leave_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an error does, so that it leaves nothing half-written behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = [number for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number]
    former = {number: signal.getsignal(number) for number in asked if signal.getsignal(number) == signal.SIG_DFL}
    for number in former:
        signal.signal(number, _leave)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note SIGTERM in a list instead of ending at once, so that work can end where it is whole."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    former = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, former)


def _leave(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, and what is half-written is being removed
    raise SystemExit(128 + number)
