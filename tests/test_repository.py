"""The repository itself: pins that agree, valid metadata, no private paths, documented modules of bounded size."""

import ast
import re
import subprocess
import tomllib
from collections import Counter
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
import yaml
from docutils.core import publish_doctree
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from sphinx.ext.napoleon import Config, NumpyDocstring

import a2a
from a2a.common.paths import repository

ROOT = repository()
SOURCES = sorted((ROOT / "a2a").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ROUND = "2026-11-30T11:45"
LOCKED = {"test", "book", "fid", "kspace", "onnx", "png", "segment"}  # extras in requirements.txt
UNLOCKED = {"bench", "register", "workflow"}  # and those outside
MODULES = pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(ROOT).as_posix())


def pins() -> dict[str, str]:
    """Versions of requirements.txt by canonical name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): pin for name, pin in found}


def tracked() -> list[Path]:
    """Files under version control, or that would be."""
    words = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the list of tracked files needs a git clone; this is a plain copy")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_line_of_the_lock_is_one_exact_version():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    entries = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line) for line in entries)
    assert len(pins()) == len(entries)
    assert pins()["torch"] == "2.13.0"


def test_the_lock_holds_what_the_project_requires():
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == LOCKED | UNLOCKED
    for text in [*PROJECT["dependencies"], *(r for name in LOCKED for r in extras[name])]:
        requirement = Requirement(text)
        assert pins()[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_extras_outside_of_the_lock_have_bounds_and_the_lock_lacks_them():
    for requirement in (Requirement(text) for name in UNLOCKED for text in PROJECT["optional-dependencies"][name]):
        assert canonicalize_name(requirement.name) not in pins()
        assert {specifier.operator for specifier in requirement.specifier} >= {">=", "<"}, str(requirement)


def test_the_environment_is_the_lock():
    wrong = {name: pin for name, pin in pins().items() if version(name).partition("+")[0] != pin}
    assert not wrong


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert plain == ["python=3.11", "pip"]
    assert environment["dependencies"][-1]["pip"] == ["-r requirements.txt", "-e ."]


def test_the_citation_file_is_complete_and_names_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    assert citation["version"] == a2a.__version__
    paper = citation["references"][0]
    assert paper["authors"][0] == {"family-names": "Gan", "given-names": "Weijie"}
    assert paper["identifiers"][0]["value"] == "arXiv:2602.08249"


def test_licences_of_code_and_text():
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
    assert "CC BY 4.0" in (ROOT / "LICENSE-text").read_text(encoding="utf-8")


def test_no_file_names_a_private_path():
    private = re.compile(rb"(?<![\w.~-])/(?:work|tmp|root|home/\w+|opt/wheels)/|\.\./" + rb"shared\b")
    own = Path(__file__)
    texts = [p for p in tracked() if p.suffix not in {".safetensors", ".png", ".webp", ".parquet", ".npy"} and p != own]
    found = [f"{p.relative_to(ROOT)}: {m.group().decode()}" for p in texts if (m := private.search(p.read_bytes()))]
    assert not found


def test_the_clone_stays_small():
    sizes = {p.relative_to(ROOT).as_posix(): p.stat().st_size / 2**20 for p in tracked()}
    assert sum(size for name, size in sizes.items() if name.startswith("weights/")) < 94
    assert {name: size for name, size in sizes.items() if size > 2 and not name.startswith("weights/")} == {}


def test_no_file_is_over_eight_mebibytes():
    assert {p.relative_to(ROOT).as_posix() for p in tracked() if p.stat().st_size > 8 * 2**20} == set()


def test_a_weight_is_committed_once_a_round():
    options = [f"--since={ROUND}", "--no-merges", "--name-only", "--format="]
    words = ["git", "-C", ROOT, "log", *options, "--", "weights/*.safetensors"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the history of weights needs a git clone; this is a plain copy")
    times = Counter(done.stdout.split())
    assert {name: count for name, count in times.items() if count > 1} == {}


def test_ruff_knows_our_line_length():
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert tool["ruff"]["line-length"] == 120
    assert tool["setuptools"]["packages"]["find"]["include"] == ["a2a*"]


def public(tree: ast.Module) -> list[ast.AST]:
    """Public functions, classes and methods of a module; the class of a network explains its ``forward``."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    top = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    inner = [n for c in top if isinstance(c, ast.ClassDef) for n in c.body if isinstance(n, kinds)]
    return top + [n for n in inner if not n.name.startswith("_") and n.name != "forward"]


@MODULES
def test_everything_public_is_documented(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not text.strip(), "the module has no docstring"
    assert [node.name for node in public(tree) if not ast.get_docstring(node)] == []


@MODULES
def test_docstrings_can_be_rendered(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = [ast.get_docstring(node) or "" for node in [tree, *public(tree)]]
    assert {text: faults for text in docstrings if (faults := markup_faults(text))} == {}


def markup_faults(docstring: str) -> list[str]:
    """What docutils has against a docstring; roles and directives of Sphinx, which it does not know, apart."""
    text, said = str(NumpyDocstring(docstring, Config(napoleon_use_rtype=False))), StringIO()
    publish_doctree(text, settings_overrides={"halt_level": 5, "warning_stream": said, "_disable_config": True})
    faults = re.findall(r"\((?:WARNING|ERROR|SEVERE)/\d\) (.*)", said.getvalue())
    return [f for f in faults if "role" not in f and "directive" not in f]


INHERITED = {"noisy", "fill_in", "inputs", "loss", "build", "reconstruct", "complete", "step"}
"""Methods whose parameters the class explains that first asks for them."""


def test_modules_are_short():
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in SOURCES if p.is_relative_to(ROOT / "a2a")}
    assert sorted(lengths.values())[len(lengths) // 2] <= 150  # 300 lines are advice; beyond 400 a module is two
    assert {path.name: lines for path, lines in lengths.items() if lines > 400} == {}


@MODULES
def test_functions_of_three_arguments_explain_them(path):
    functions = [n for n in public(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
    several = [f for f in functions if len([*f.args.args, *f.args.kwonlyargs]) - bool(f.args.args) * is_method(f) >= 3]
    silent = {f.name for f in several if "Parameters\n" not in (ast.get_docstring(f) or "")}
    assert silent <= (INHERITED | {path.stem, "fetch"} if path.parent.name == "cli" else INHERITED)


def is_method(function: ast.FunctionDef) -> bool:
    """Whether a function begins with the object or class that it belongs to."""
    return bool(function.args.args) and function.args.args[0].arg in ("self", "cls")


@MODULES
def test_functions_are_short(path):
    functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
    assert {f.name: lines for f in functions if (lines := body_lines(f)) > 40} == {}


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function after its signature (which declares the options of a command) and its docstring."""
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - statements[0].lineno + 1 if statements else 0
