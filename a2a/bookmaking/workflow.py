"""What the workflow is asked to make: its configuration, checked, and keys that say when to make a thing again.

`workflow/Snakefile` turns a plan into jobs; explained in the chapter "Beyond one machine" of the book.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from a2a.common.documents import validated
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.common.floors import PAGES_ONLY
from a2a.common.names import checked_name
from a2a.common.paths import repository
from a2a.common.provenance import fingerprint, sources

CONFIG = "workflow/config.yaml"


class Plan(BaseModel):
    """What ``workflow/config.yaml`` says, with what ``--config`` changes.

    Parameters
    ----------
    profile
        Size of experiments and chapters: ``smoke``, ``ci`` or ``full``.
    card, root
        Data card, by path or name, and the folder of its files; phantoms need none.
    prior
        Weights (``.safetensors``), or the recipe (``.yaml``) of a prior that is trained first.
    experiments
        Files; each becomes a table of its name.
    chapters
        Names of chapters, for the target ``chapters``; None for all. The book always has all of them.
    grid
        File of a grid, for the target ``grid``.
    devices
        Of a training: GPUs, or processes where there are none.
    gpu
        Whether jobs that use the network ask for GPUs.
    out
        Folder for everything but the chapters and the book, which `a2a.bookmaking.book` knows a place for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str
    card: str
    root: Path | None = None
    prior: Path
    experiments: tuple[Path, ...] = ()
    chapters: tuple[str, ...] | None = None
    grid: Path | None = None
    devices: int = Field(1, ge=1, le=4096)
    gpu: bool = False
    out: Path = Path("runs/workflow")

    @model_validator(mode="after")
    def _names(self) -> "Plan":
        """Refuse what Snakemake would take for a wildcard or a command line for an option, and unsafe names."""
        chapters = self.chapters or ()
        for name in (self.profile, Path(self.card).stem, *(path.stem for path in self.experiments), *chapters):
            checked_name(name)
        for path in map(str, (self.card, self.root, self.prior, *self.experiments, self.grid, self.out)):
            if not path.isprintable() or set("{}") & set(path) or path.startswith("-"):
                raise ValueError(f"the path {shown(path, 60)!r} must not hold braces or begin with a dash")
        return self

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> "Plan":
        """Check the fields; what the named files hold is read by `check`.

        Raises
        ------
        InputError
            If a field is unknown, missing or of a wrong type.
        """
        return validated(CONFIG, dict(config), cls)

    @property
    def subjects(self) -> str:
        """Profile of the data card."""
        return "full" if self.profile == "full" else "ci"

    @property
    def trained(self) -> bool:
        """Whether the prior is a recipe."""
        return self.prior.suffix != ".safetensors"

    @property
    def tables(self) -> dict[str, Path]:
        """The experiments by the name of their table."""
        return {path.stem: path for path in self.experiments}

    def key(self, *files: str | Path) -> str:
        """Return the key of a job: it changes when, and only when, the job must be repeated.

        Parameters
        ----------
        *files
            Files and folders that count beside the data card, the package but for `a2a.common.floors.PAGES_ONLY`, and
            the versions.
        """
        code = sorted(path for path in repository("a2a").iterdir() if path.name not in PAGES_ONLY)
        card = repository("data_cards", f"{self.card}.yaml")
        card = card if card.is_file() else Path(self.card).absolute()
        return fingerprint(repository(), [*code, "requirements.txt", card, *files])[:16]

    def book_key(self) -> str:
        """Return the key of the book, whose prose and settings count too."""
        return f"{self.profile} {fingerprint(repository(), [*sources(repository()), 'book', '_config.yml'])[:16]}"

    def check(self, gpus: int | None = None) -> tuple[dict[str, str], list[Path]]:
        """Read every file that the plan names, before anything runs.

        Parameters
        ----------
        gpus
            How many GPUs all jobs together may use; None is no limit.

        Returns
        -------
        chapters : dict
            The key of each chapter of the book, see `a2a.bookmaking.run.chapter_key`.
        combinations : list of Path
            The folder of each combination of the grid, below the repository. Its name is the beginning of the key.

        Raises
        ------
        InputError
            If a profile, chapter, card, recipe, experiment or grid is unknown or wrong, or the training needs more
            GPUs.
        """
        from a2a.bookmaking.book import Book
        from a2a.bookmaking.grid import Grid, grid_tasks
        from a2a.data.cards.card import load_card
        from a2a.methods.recipes import load_config

        book = Book.read(repository())
        book.check_profile(self.profile)
        load_card(self.card).profile(self.subjects)
        if self.trained:
            load_config(self.prior)
        elif not self.prior.is_file():
            raise InputError(f"{CONFIG}: field prior: {self.prior} does not exist; give weights or a recipe.")
        self._check_experiments()
        self._check_gpus(gpus)
        for name in self.chapters or ():
            book.chapter(name)
        combinations = grid_tasks(Grid.load(self.grid), book) if self.grid else []
        return (
            {task.chapter.name: task.key for task in book.tasks(book.chapters, self.profile)},
            [task.folder.relative_to(book.root) for task in combinations],
        )

    def _check_gpus(self, gpus: int | None) -> None:
        """Refuse a job that would be started with fewer GPUs than it uses: Snakemake cuts what a job asks for."""
        needed = self.devices if self.trained else 1
        if self.gpu and gpus is not None and needed > gpus:
            raise InputError(
                f"{CONFIG}: field devices: the training takes {needed} GPUs and all jobs together may use {gpus}; "
                f"add --resources gpu={needed} where there are as many."
            )

    def _check_experiments(self) -> None:
        """Read all experiments, whose names must differ."""
        from a2a.benchmark import Experiment

        for path in self.experiments:
            Experiment.load(path).at(self.profile)
        if len(self.tables) < len(self.experiments):
            raise InputError(f"{CONFIG}: field experiments: two files have the same name.")
