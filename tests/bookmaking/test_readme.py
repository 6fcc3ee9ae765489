"""The README: its computed parts, and that what it names exists."""

import re
import shlex

import pandas as pd
import pytest
import torch
import typer

from a2a import cli
from a2a.benchmark.table import write_table
from a2a.bookmaking.readme import MARKS, PICTURE, draw_picture, fill, results_table
from a2a.common.errors import InputError
from a2a.common.paths import repository

TEXT = repository("README.md").read_text(encoding="utf-8")
COLUMNS = ["dataset", "scenario", "modality", "slices", "method", "estimate", "subject", "metric", "value"]


def test_links_and_folders_exist():
    links = re.findall(r"\]\((?!http)([^)]+)\)", TEXT)
    pictures = ["/".join(PICTURE), "book/_static/heads-measured.webp"]
    assert links == pictures, "a page of a package index has no files beside it; name them in text"
    named = re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_.-]*)+|[A-Z]+[\w.-]*\.cff|LICENSE[\w-]*)`", TEXT)
    assert {"book/09-own-data.md", "CITATION.cff", "LICENSE", "LICENSE-text"} <= set(named)
    missing = [name for name in (*links, *named) if not repository(*name.split("/")).exists()]
    assert set(missing) <= {"runs/", "_build/"}


def test_commands_exist():
    commands = set(re.findall(r"^(?:\.venv/bin/)?a2a (\w+)", TEXT, flags=re.MULTILINE))
    assert commands == {"prepare", "train", "complete", "bench"} <= set(cli.COMMANDS)
    targets = set(re.findall(r"^make (\w+)", TEXT, flags=re.MULTILINE))
    makefile = repository("Makefile").read_text(encoding="utf-8")
    assert targets == {"bench", "book", "test"} and all(f"\n{target}: " in makefile for target in targets)


def test_commands_of_the_book_exist_with_their_options_files_and_chapters():
    text = repository("book", "reproduce.md").read_text(encoding="utf-8")
    lines = [shlex.split(line) for line in re.findall(r"^a2a .*", text, flags=re.MULTILINE)]
    assert {words[1] for words in lines} == {"book", "grid", "prepare", "train", "bench", "complete"}
    for _, name, *words in lines:
        command = typer.main.get_command(cli.app).get_command(None, name)
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if re.fullmatch("--[a-z-]+", word)} <= known | {"--t1", "--flair-kspace"}
        files = [word for word in words if word.startswith(("experiments/", "data_cards/", "weights/"))]
        assert all(repository(*file.split("/")).is_file() for file in files)
    makefile = repository("Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}: " in makefile for target in re.findall(r"^make (\w+)", text, flags=re.MULTILINE))


def test_the_picture_is_there_and_small():
    content = repository(*PICTURE).read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) < 300_000
    assert f"]({'/'.join(PICTURE)})" in TEXT


def test_a_picture_is_drawn_from_any_prior(tiny_prior, tmp_path, monkeypatch):
    monkeypatch.setenv("A2A_QUIET", "1")
    stack = torch.linspace(0, 1, 3 * 24 * 24).reshape(3, 24, 24)
    draw_picture(tiny_prior, stack, ("T1 + y(FLAIR)", "nothing"), tmp_path / "idea.png", 2, 0)
    assert (tmp_path / "idea.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_averages_over_subjects_and_compares_equal_slices_only(tmp_path):
    values = {"single sample": ((20.0, 0.5), (21.0, 0.6)), "mean of 4": ((22.04, 0.71), (22.04, 0.71))}
    block, ours, theirs = ("d/ci", "T1 + y(T2)", "T2"), [], []
    for estimate, subjects in values.items():
        for subject, scores in enumerate(subjects):
            for metric, value in zip(("psnr", "ssim"), scores, strict=True):
                ours.append((*block, 24, "any2all-mds", estimate, str(subject), metric, value))
    for slices, score in ((24, 9.0), (96, 9.5)):
        for metric, value in (("psnr", score), ("ssim", 0.1)):
            theirs.append((*block, slices, "zero-filled", None, "0", metric, value))
    write_table(tmp_path / "ours.parquet", pd.DataFrame(ours, columns=COLUMNS))
    write_table(tmp_path / "theirs.parquet", pd.DataFrame(theirs, columns=COLUMNS).drop(columns="estimate"))
    assert results_table([]) == results_table([tmp_path / "theirs.parquet"]) == "No results yet."
    lines = results_table(sorted(tmp_path.glob("*.parquet"))).splitlines()
    assert lines[0] == "| dataset | scenario | target | slices of subjects | zero-filled | MDS | MDS, mean |"
    cells = [
        "d/ci",
        "T1 + y(T2)",
        "T2",
        "24 of 2",
        "9.0 / 0.10",
        "20.5 ± 0.5 / 0.55 ± 0.05",
        "22.0 ± 0.0 / 0.71 ± 0.00",
    ]
    assert lines[2:] == ["| " + " | ".join(cells) + " |"]


def test_filling_exchanges_the_table_and_nothing_else():
    once = fill(TEXT, "| a |")
    assert fill(once, "| a |") == once and "| a |" in once
    assert once.split(MARKS[0])[0] == TEXT.split(MARKS[0])[0] and once.split(MARKS[1])[1] == TEXT.split(MARKS[1])[1]
    with pytest.raises(InputError, match="must stand between"):
        fill("no marks", "| a |")
