"""The book: which chapter runs with which parameters, and the HTML that is built from the executed pages."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papermill.exceptions import strip_color

import a2a
from a2a.bookmaking.chapters import Chapter, book_chapters, pages
from a2a.bookmaking.pages import LIVE, LIVE_PAGE, stage
from a2a.bookmaking.pictures import add_pictures
from a2a.bookmaking.run import Run, Task, chapter_key, complain, run_all
from a2a.common.documents import read_yaml
from a2a.common.errors import InputError
from a2a.common.files import put_in_place, say_if_full, write_text
from a2a.common.names import Name
from a2a.common.outputs import hold
from a2a.common.provenance import fingerprint, installed

Profiles = dict[Name, dict[Name, dict[str, Any]]]
FORM = "it maps each profile to chapters and each chapter to its parameters"
CELL_TIMEOUTS = {"smoke": 900.0, "ci": 3600.0}
JUPYTER_BOOK = """import sys
sys.path.insert(0, sys.argv.pop(1))
from a2a.common.children import end_with_parent
end_with_parent(int(sys.argv.pop(1)))
from jupyter_book.cli.main import main
main()
"""


class BuildFailed(RuntimeError):
    """Jupyter Book reported a warning or an error; the message quotes the first and names the log."""


@dataclass(frozen=True)
class Book:
    """The chapters of a repository and the sizes in which they can be executed.

    Parameters
    ----------
    root
        Root of the repository.
    chapters
        In the order of the table of contents.
    profiles
        ``profiles[profile][chapter][parameter]``, what differs from the defaults of the chapter.
    """

    root: Path
    chapters: tuple[Chapter, ...]
    profiles: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @classmethod
    def read(cls, root: Path) -> "Book":
        """Read ``book/`` and ``book/profiles.yml``; every profile is checked against the declared parameters.

        Raises
        ------
        InputError
            If a chapter or the profiles are malformed, or name an unknown chapter, parameter or type.
        """
        path = root / "book" / "profiles.yml"
        book = cls(root, tuple(book_chapters(root)), read_yaml(path, Profiles, FORM))
        for profile, settings in book.profiles.items():
            for name in settings:
                try:
                    book.settings(book.chapter(name), profile)
                except InputError as error:
                    raise InputError(f"{path}, profile {profile}: {error}") from None
        return book

    def chapter(self, name: str) -> Chapter:
        """Return a chapter by name; an unknown name is an `InputError` that lists the chapters."""
        found = {chapter.name: chapter for chapter in self.chapters}
        if name not in found:
            raise InputError(f"Unknown chapter {name!r}; the book has {', '.join(found) or 'none'}.")
        return found[name]

    def check_profile(self, profile: str) -> None:
        """Refuse an unknown profile with an `InputError` that lists those there are."""
        if profile not in self.profiles:
            raise InputError(f"Unknown profile {profile!r}; possible are {', '.join(self.profiles)}.")

    def settings(self, chapter: Chapter, profile: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the value of every parameter: the given one, else the profile's, else the default.

        Parameters
        ----------
        chapter
            The chapter.
        profile
            ``"smoke"``, ``"ci"`` or ``"full"``.
        given
            Values by parameter, as in `a2a book --set`.

        Raises
        ------
        InputError
            If the profile is unknown, or a parameter is unknown or has a wrong type.
        """
        self.check_profile(profile)
        chosen = {**self.profiles[profile].get(chapter.name, {}), **(given or {}), "profile": profile}
        return chapter.settings(chosen)

    def tasks(self, chapters: Sequence[Chapter], profile: str, given: Mapping[str, Any] | None = None) -> list[Task]:
        """Return what to execute; runs with given parameters get a folder by key, so that none replaces another.

        Parameters
        ----------
        chapters
            Which to execute.
        profile
            ``"smoke"``, ``"ci"`` or ``"full"``.
        given
            Values by parameter, for one chapter alone.
        """
        self.check_profile(profile)
        watched = f"{fingerprint(self.root)} {installed(self.root)}"
        tasks = []
        for chapter in chapters:
            settings = self.settings(chapter, profile, given)
            key = chapter_key(chapter, settings, watched)
            place = Path("chapters", chapter.name, key[:12]) if given else Path("book", profile, chapter.name)
            tasks.append(Task(chapter, settings, self.root / "runs" / place, key, CELL_TIMEOUTS.get(profile)))
        return tasks

    def make(self, profile: str, jobs: int, report: Callable[[str], None]) -> Path:
        """Execute what changed, build the HTML if a page changed, and return the path of its first page.

        Parameters
        ----------
        profile
            Size of the work.
        jobs
            Chapters at a time.
        report
            Receives a line at each step.

        Raises
        ------
        a2a.bookmaking.run.ChapterFailed
            After the HTML was built, if a cell of a chapter failed; the page of the chapter says where and why.
        BuildFailed
            If Jupyter Book warns about anything; the former HTML stays.
        """
        tasks = self.tasks(self.chapters, profile)
        report(f"{len(tasks)} chapters, profile {profile}")
        runs = run_all(tasks, self.root, jobs, report)
        build = self.root / "_build"
        with hold(build / "html", wait=True), say_if_full(build):
            self._make_html(build, tasks, runs, report)
        complain(tasks, runs)
        return build / "html" / "index.html"

    def _make_html(
        self, build: Path, tasks: Sequence[Task], runs: Sequence[Run], report: Callable[[str], None]
    ) -> None:
        """Build the HTML if a page changed."""
        add_pictures([task.folder / run.notebook for task, run in zip(tasks, runs, strict=True)], report)
        stage(self.root, build / "staging", tasks, runs)
        if LIVE_PAGE in pages(self.root):
            from a2a.bookmaking.live import add_live  # with torch and all that prepares data

            add_live(build / "staging" / "_vendor" / LIVE, self.root, report)
        index, stamp = build / "html" / "index.html", build / "html.key"
        key = self._html_key(build / "staging")
        if index.is_file() and stamp.is_file() and stamp.read_text() == key:
            report("HTML: unchanged")
        else:
            report("HTML: building")
            stamp.unlink(missing_ok=True)
            build_html(self.root, build)
            write_text(stamp, key)

    def _html_key(self, staging: Path) -> str:
        """Hash of all that the HTML is made from."""
        digest = hashlib.sha256()
        sources = [
            self.root / "_config.yml",
            self.root / "requirements.txt",
            *sorted((self.root / "a2a").rglob("*.py")),
        ]
        for path in [*sources, *sorted(staging.rglob("*"))]:
            if path.is_file():
                digest.update(f"\0{path.relative_to(self.root).as_posix()}\0".encode() + path.read_bytes())
        return digest.hexdigest()


def build_html(root: Path, build: Path) -> None:
    """Build ``build/html`` from ``build/staging``; the former HTML is replaced only when no warning was reported.

    Raises
    ------
    BuildFailed
        At the first warning; the message quotes it and names the log.
    """
    fresh, log = build / "fresh", build / "html.log"
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["-W", "-n", "--keep-going", "--config", root / "_config.yml", "--path-output", fresh]
    package = Path(a2a.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", JUPYTER_BOOK, package, str(os.getpid()), "build", build / "staging", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=root,
    )
    output = strip_color(done.stdout)
    write_text(log, output)
    pages = fresh / "_build" / "html"
    if done.returncode or not (pages / "index.html").is_file():
        lines = [line for line in output.splitlines() if "WARNING" in line or "ERROR" in line or "Error" in line]
        first = lines[0].strip().rstrip(".") if lines else "no reason given"
        raise BuildFailed(f"Jupyter Book did not build without warnings: {first}; see {log}.")
    put_in_place(pages, build / "html")
    shutil.rmtree(fresh)
