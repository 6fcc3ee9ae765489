"""The pages of the book that document the package: which modules stand on which page; Sphinx reads their docstrings."""

from fnmatch import fnmatch
from pathlib import Path

# Page -> title, what it is about, modules in the order of the page. A module stands on the first page that names it.
PAGES = {
    "api-stack": (
        "API: stack and observation",
        "What is completed, and what is observed of it; {doc}`01-formulation` explains both.",
        ("stack", "observation", "measured", "scenario", "masks", "completion"),
    ),
    "api-operators": (
        "API: operators",
        "The blocks of $A$, how they are applied, and how their small systems are solved; see {doc}`01-formulation`.",
        ("operators*",),
    ),
    "api-prior": (
        "API: diffusion and prior",
        "The diffusion process, trained priors, and the Gaussian prior with exact answers; see {doc}`02-prior` and "
        "{doc}`04-solvable`.",
        ("diffusion", "prior", "gaussian", "octaves", "rng"),
    ),
    "api-samplers": (
        "API: samplers",
        "From noise to a stack that agrees with the data; see {doc}`03-unconditional` to {doc}`07-faster`.",
        ("samplers*", "sampling"),
    ),
    "api-methods": (
        "API: methods and baselines",
        "Everything that completes an observation; see {doc}`12-mmgan` to {doc}`18-comparison`.",
        ("methods", "baselines*", "references*"),
    ),
    "api-networks": ("API: networks", "What is trained, of the prior and of each method.", ("networks*",)),
    "api-training": (
        "API: training",
        "One loop for all of them; see {doc}`02-prior`.",
        ("training*", "recipes", "weights"),
    ),
    "api-data": (
        "API: data",
        "From files or the phantom to a slice store; see {doc}`10-data` and {doc}`11-scans`.",
        ("data.[!p]*", "data.pr*", "data.phantom_subjects", "data"),
    ),
    "api-phantom": (
        "API: phantom",
        "The synthetic heads of {doc}`10-data`.",
        ("data.phantom*",),
    ),
    "api-evaluation": (
        "API: evaluation",
        "Metrics of each subject, and what may be said about differences; see {doc}`08-uncertainty` and "
        "{doc}`18-comparison`.",
        ("evaluation*",),
    ),
    "api-benchmark": (
        "API: benchmark",
        "Experiments, the table they fill, and the claims held against it; see {doc}`20-claims`.",
        ("benchmark*",),
    ),
    "api-figures": ("API: figures", "Pure functions from tables and arrays to figures.", ("figures*",)),
    "api-book": (
        "API: patients, book and commands",
        "What the command line does, and what makes these pages.",
        ("*",),
    ),
}


def modules(root: Path) -> list[str]:
    """Return the names of all public modules of the package below `root`, without the leading ``a2a.``."""
    paths = (path.relative_to(root / "a2a").with_suffix("") for path in sorted((root / "a2a").rglob("*.py")))
    names = (".".join(part for part in path.parts if part != "__init__") for path in paths)
    return [name for name in names if name and not any(part.startswith("_") for part in name.split("."))]


def api_page(root: Path, page: str) -> str:
    """Return a page of the reference as Markdown, one section a module.

    Parameters
    ----------
    root
        Root of the repository.
    page
        A key of `PAGES`.
    """
    title, sentence, patterns = PAGES[page]
    found = modules(root)
    chosen = [name for pattern in patterns for name in found if fnmatch(name, pattern) and _page_of(name) == page]
    parts = [f"# {title}", sentence]
    for name in dict.fromkeys(chosen):
        options = "   :members:\n   :ignore-module-all:"
        parts += [f"## `a2a.{name}`", f"```{{eval-rst}}\n.. automodule:: a2a.{name}\n{options}\n```"]
    return "\n\n".join(parts) + "\n"


def _page_of(name: str) -> str:
    """Return the first page that names a module."""
    return next(page for page, (_, _, patterns) in PAGES.items() if any(fnmatch(name, p) for p in patterns))
