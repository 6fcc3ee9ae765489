"""The README: its computed parts, and that what it names exists."""

import re
import shlex
from dataclasses import replace

import pandas as pd
import pytest
import torch
import typer
import yaml

from a2a import cli
from a2a.bookmaking.readme import MARKS, NUMBERS, PAGES, PICTURE, draw_picture, fill, numbers, of_a_head, sentence
from a2a.common.errors import InputError
from a2a.common.paths import repository

TEXT = repository("README.md").read_text(encoding="utf-8")


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


def test_the_committed_pages_have_the_numbers_of_the_results():
    made = numbers()
    assert made.count("\n") == 2 and made.count("**") == 6
    for names in PAGES:
        text = repository(*names).read_text(encoding="utf-8")
        assert fill(text, made) == text, "run python -m a2a.bookmaking.readme"


def test_every_number_has_a_command_for_an_experiment_that_measures_it():
    for number in NUMBERS:
        *words, file = number.command.split()
        assert words == ["a2a", "bench"]
        experiment = yaml.safe_load(repository(*file.split("/")).read_text(encoding="utf-8"))
        assert experiment["name"] == number.tables[0]
        assert any(j["given"] == number.scenario and number.target in j["targets"] for j in experiment["jobs"])


def test_the_front_page_says_what_the_readme_says_and_has_no_table():
    page = repository("book", "intro.md").read_text(encoding="utf-8")
    for kind in ("python", "bash"):
        (mine,) = re.findall(rf"```{kind}\n(.*?)```", page, flags=re.DOTALL)
        theirs = re.sub(" +# .*", "", re.findall(rf"```{kind}\n(.*?)```", TEXT, flags=re.DOTALL)[0])
        assert mine == theirs
    assert not re.search(r"^\|", page, flags=re.MULTILINE)


NUMBER = replace(NUMBERS[0], says="{ours}, not {theirs}: {slices} of {subjects}", command="a2a bench it")


def measurements(**slices: int) -> pd.DataFrame:
    given = {"scenario": NUMBER.scenario, "modality": NUMBER.target, "metric": "psnr"}
    values = {NUMBER.ours: (20.0, 21.0), NUMBER.theirs: (9.0, 9.0)}
    rows = [
        given | {"method": method, "subject": subject, "value": value, "slices": slices.get(method, 24)}
        for method, pair in values.items()
        for subject, value in zip("ab", pair, strict=True)
    ]
    mean = [row | {"estimate": "mean of 4", "value": 50.0} for row in rows[:2]]
    return pd.DataFrame(rows + mean).astype({"estimate": "object"})


def test_a_number_is_the_mean_over_subjects_of_single_samples():
    assert sentence(NUMBER, measurements()) == "- 20.5 ± 6.4, not 9.0 ± 0.0: 24 of 2: `a2a bench it`"
    one = measurements()
    assert sentence(NUMBER, one[one.subject == "a"]) == "- 20.0, not 9.0: 24 of 1: `a2a bench it`"


def test_a_number_compares_equal_slices_only():
    with pytest.raises(InputError, match="not measured on the same slices"):
        sentence(NUMBER, measurements(**{NUMBER.theirs: 96}))
    with pytest.raises(InputError, match=f"have no {NUMBER.theirs}"):
        sentence(NUMBER, measurements().query("method == @NUMBER.ours"))


def test_the_number_of_a_real_head_is_of_the_row_that_it_names():
    rows = [("prior, 10 evaluations", "sample", 20.0), ("prior, 10 evaluations", "mean of samples", 22.5)]
    rows += [("SENSE", "estimate", 11.0), ("boosted trees", "estimate", 15.0), ("prior, 1 evaluation", "sample", 99.0)]
    table = pd.DataFrame(rows, columns=["method", "of", "psnr"]).assign(given="T1 + y(FLAIR)")
    others = table.assign(given="T1", psnr=77.0)
    said = of_a_head(pd.concat([others, table]), 12)
    assert re.findall(r"[0-9.]+ dB", said) == ["22.5 dB", "20.0 dB", "11.0 dB", "15.0 dB"]
    assert "the mean of 12 samples" in said
    with pytest.raises(InputError, match="no SENSE of estimate"):
        of_a_head(table[table.method != "SENSE"], 12)


def test_filling_exchanges_the_numbers_and_nothing_else():
    once = fill(TEXT, "- a")
    assert fill(once, "- a") == once and "- a" in once
    assert once.split(MARKS[0])[0] == TEXT.split(MARKS[0])[0] and once.split(MARKS[1])[1] == TEXT.split(MARKS[1])[1]
    with pytest.raises(InputError, match="page.md: the numbers must stand between"):
        fill("no marks", "- a", "page.md")
