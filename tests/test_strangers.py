"""What strangers' files do: refused in one sentence, or read; nothing outside ``--out``. See CONTRIBUTING.md."""

import gzip
import io
import json
import os
import re
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from a2a.benchmark.drift import Drift
from a2a.benchmark.experiment import Experiment
from a2a.benchmark.statements import Claims
from a2a.bookmaking.chapters import is_chapter, read_chapter
from a2a.bookmaking.grid import Grid, gather
from a2a.bookmaking.run import Task, read_run
from a2a.bookmaking.workflow import Plan
from a2a.common.documents import read_json, read_yaml
from a2a.common.errors import InputError
from a2a.common.escaping import code, for_spreadsheet, markdown, shown
from a2a.common.names import checked_name, checked_path
from a2a.common.paths import repository
from a2a.data.cards.card import load_card
from a2a.data.kspace.coil_maps import read_maps
from a2a.data.kspace.file import read_kspace
from a2a.data.kspace.grid import Grid as KSpaceGrid
from a2a.data.prepare.contact_sheets import sheet_png
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore, sha256
from a2a.data.store.write import StoreWriter
from a2a.data.volumes.nifti import Volume, read_volume, write_volume
from a2a.data.volumes.normalisation import Normalisation, require_plausible
from a2a.evaluation.metrics import psnr
from a2a.forward.scenario import Scenario
from a2a.forward.stack import Modality, StackSpec
from a2a.methods.recipes import load_config
from a2a.methods.references.config import ReferencesConfig
from a2a.methods.registry import load_method
from a2a.prior.prior import Prior
from a2a.training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint

SIZE = 24


def refused(act: Callable[[], object], *words: str) -> str:
    """Return the one sentence with which something is refused."""
    with pytest.raises(InputError) as caught:
        act()
    text = str(caught.value)
    assert len(text.splitlines()) == 1 and text.isprintable() and len(text) < 700, text
    for word in words:
        assert re.search(word, text), f"{word!r} is not in {text!r}"
    return text


# Documents: one reader for all of them

YAMLS = {
    "experiment": (Experiment.load, "experiments/comparison.yaml"),
    "drift": (Drift.load, "experiments/drift.yaml"),
    "claims": (Claims.load, "experiments/claims/any2all.yaml"),
    "references": (ReferencesConfig.load, "experiments/references.yaml"),
    "recipe": (load_config, "experiments/priors/phantom-any2all-64.yaml"),
    "card": (load_card, "data_cards/open-ms.yaml"),
    "grid": (Grid.load, "experiments/grid-example.yaml"),
}
TEXTS = {
    "Latin-1": (b"name: \xe9t\xe9\n", "not UTF-8 .*byte 0xe9 in line 1"),
    "UTF-16": ("name: x\n".encode("utf-16"), "UTF-16; save it as UTF-8"),
    "alias bomb": (b"a: &a [1,1]\nb: &b [*a,*a]\nc: [*b,*b]\n", "anchors and aliases"),
    "tag": (b"a: !!int x\n", "tags such as"),
    "python tag": (b"a: !!python/object/apply:os.system [touch PWNED]\n", "tags such as"),
    "doubled key": (b"name: a\nname: b\n", "key 'name' stands there twice"),
    "deep": (b"[" * 5000, "nested deeper than 32"),
    "digits": (b"name: " + b"9" * 5000, "5000 digits"),
    "octal": (b"name: [01, 02]", "01 would be read as another number; write '01' in quotes"),
    "sexagesimal": (b"name: 1:30", "1:30 would be read as another number"),
    "infinity": (b"name: .inf", "field name: the number must be finite"),
    "escape sequence": (b'name: "\\e[31mred"', "control characters"),
    "comments": (b"# " + b"x" * 2**21, "2 MiB; at most 1 MiB"),
    "list as key": (b"? [1]\n: 2\n", "a key is no plain value"),
    "two documents": (b"--- 1\n--- 2\n", "not valid YAML"),
    "empty": (b"", "field the top level"),
    "number": (b"1", "field the top level"),
    "list": (b"[]", "field the top level"),
    "date": (b"name: 2024-13-45\nbirthday: 2024-13-45\n", "field"),
    "unknown field": (b"nonsense: 1\n", "field"),
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("kind", YAMLS)
def test_a_strange_text_is_refused_in_a_sentence(kind: str, text: str, tmp_path: Path) -> None:
    path, (raw, words) = tmp_path / "x.yaml", TEXTS[text]
    path.write_bytes(raw)
    refused(lambda: YAMLS[kind][0](path), f"^{re.escape(str(path))}: ", words)


@pytest.mark.parametrize("kind", YAMLS)
def test_a_byte_order_mark_is_no_fault(kind: str, tmp_path: Path) -> None:
    load, sound = YAMLS[kind]
    raw = repository(sound).read_bytes()
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf" + raw.replace(b"\n", b"\r\n"))
    assert load(tmp_path / "x.yaml") == load(repository(sound))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


NO_FILES = {
    "folder": (Path.mkdir, "is a folder"),
    "pipe": (_fifo, "a pipe or a device"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a pipe or a device"),
    "link in a circle": (_circle, "cannot be read"),
    "missing": (lambda path: None, "no such file|no data card"),
}


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("kind", YAMLS)
def test_only_regular_files_are_read(kind: str, what: str, tmp_path: Path) -> None:
    make, words = NO_FILES[what]
    make(tmp_path / "x.yaml")
    refused(lambda: YAMLS[kind][0](tmp_path / "x.yaml"), words)


FIELDS = [
    ("experiment", ("settings",), "text"),
    ("experiment", ("settings",), 3),
    ("experiment", ("settings",), [1]),
    ("experiment", ("methods",), None),
    ("experiment", ("methods",), {"a": 1}),
    ("experiment", ("name",), "../escape"),
    ("experiment", ("name",), "-rf"),
    ("experiment", ("name",), "$(touch PWNED)"),
    ("experiment", ("seed",), -1),
    ("experiment", ("seed",), 10**30),
    ("experiment", ("profiles",), []),
    ("experiment", ("profiles",), {"ci": 3}),
    ("experiment", ("undersampling",), {"coils": 10**9}),
    ("experiment", ("undersampling",), {"acceleration": 0}),
    ("experiment", ("weights",), ["a"]),
    ("drift", ("tolerances",), {"psnr": 0}),
    ("drift", ("tolerances",), [1]),
    ("drift", ("experiment",), None),
    ("drift", ("experiment",), "text"),
    ("claims", ("claims",), 3),
    ("claims", ("claims",), [1]),
    ("claims", ("settings",), [None]),
    ("claims", ("methods",), "x"),
    ("references", ("scenarios",), None),
    ("references", ("scenarios",), [1]),
    ("references", ("profiles",), {"ci": {"pixels": 10**18}}),
    ("recipe", ("method",), ["prior"]),
    ("recipe", ("method",), {"a": 1}),
    ("recipe", ("name",), "a/b"),
    ("recipe", ("name",), ".."),
    ("recipe", ("steps",), 0),
    ("recipe", ("lr",), 1e400),
    ("recipe", ("network",), {"width": 10**9}),
    ("recipe", ("network",), {"multipliers": [1] * 3000}),
    ("recipe", ("schedule",), {"length": 10**8}),
    ("card", ("name",), "../escape"),
    ("card", ("modalities",), 3),
    ("card", ("modalities", 0, "name"), "../escape"),
    ("card", ("modalities", 0, "name"), "=1+1"),
    ("card", ("modalities", 0, "name"), "x" * 500),
    ("card", ("labels", 0, "name"), "a/b"),
    ("card", ("source", "layouts", 0, "folders"), ["../.."]),
    ("card", ("source", "layouts", 0, "folders"), ["/etc"]),
    ("card", ("source", "layouts", 0, "name"), "a\u202eb"),
    ("card", ("preprocessing", "percentile"), 1e-300),
    ("card", ("preprocessing", "size"), 10**9),
    ("card", ("preprocessing", "field_of_view_mm"), 1e308),
    ("card", ("profiles", "ci", "train"), ["0..999999999"]),
    ("card", ("profiles", "ci", "train"), ["0..99999999999999999999999999"]),
    ("card", ("profiles", "ci", "train"), [1.5]),
    ("card", ("profiles", "ci", "train"), [True]),
    ("card", ("profiles", "ci", "train"), [None]),
    ("card", ("profiles", "ci", "train"), ["../x"]),
    ("card", ("profiles", "ci", "train"), 5),
    ("card", ("licence", "url"), "javascript:alert(1)"),
    ("card", ("licence", "url"), "https://x/<script>"),
    ("card", ("download", "files"), ["../x"]),
    ("card", ("download", "files"), ["/etc/x"]),
    ("card", ("download", "unpack"), {"a": ".."}),
    ("card", ("download", "base_url"), "file:///etc/"),
    ("grid", ("name",), "../escape"),
    ("grid", ("name",), "x" * 300),
    ("grid", ("chapters",), ["../intro"]),
    ("grid", ("chapters",), "text"),
    ("grid", ("parameters",), {}),
    ("grid", ("parameters",), {"seed": 3}),
    ("grid", ("parameters",), {"seed": []}),
    ("grid", ("parameters",), {"seed": list(range(600)), "few": [1, 2]}),
]


@pytest.mark.parametrize(("kind", "place", "value"), FIELDS)
def test_a_wrong_field_is_named(kind: str, place: tuple, value: object, tmp_path: Path) -> None:
    load, sound = YAMLS[kind]
    values = yaml.safe_load(repository(sound).read_text(encoding="utf-8"))
    *way, last = place
    part = values
    for key in way:
        part = part[key]
    part[last] = value
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    refused(lambda: load(tmp_path / "x.yaml"), r"^\S+x\.yaml: ")


def test_more_settings_than_fit_are_refused_before_they_are_made(tmp_path: Path) -> None:
    each = {f"m{i}": ["clean", "measured", "missing"] for i in range(40)}
    content = {"name": "x", "settings": [{"each": each}], "methods": [{}]}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content))
    refused(lambda: Experiment.load(tmp_path / "x.yaml"), "more than 10000 settings")


def test_a_message_does_not_repeat_a_long_value(tmp_path: Path) -> None:
    content = yaml.safe_load(repository("experiments/grid-example.yaml").read_text())
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(content | {"x" * 10_000: 1}))
    assert len(refused(lambda: Grid.load(tmp_path / "x.yaml"), "field xxx")) < 200 + len(str(tmp_path)) + 20


JSONS = {
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": 1e999}',
    "doubled key": b'{"a": 1, "a": 2}',
    "deep": b"[" * 100_000,
    "a little deep": b"[" * 40 + b"]" * 40,
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"a": "\\ud800"}',
    "escape sequence": b'{"a": "\\u001b[31m"}',
    "text": b'"a"',
    "list": b"[1]",
    "null": b"null",
    "nothing": b"",
    "zeros": bytes(100),
    "Latin-1": b'{"a": "\xe9"}',
    "unfinished": b'{"a": 1',
    "values of another type": b'{"a": []}',
}


@pytest.mark.parametrize("text", JSONS)
def test_strange_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(JSONS[text])
    refused(lambda: read_json(tmp_path / "x.json", dict[str, int]), r"x\.json: ")


def test_dates_are_texts_and_plain_numbers_stay_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 2024-01-31\nb: [0, -1, 10, 0.5, 08, '01']\nc: 1.5e+3\n")
    found = read_yaml(tmp_path / "x.yaml", dict)
    assert found == {"a": "2024-01-31", "b": [0, -1, 10, 0.5, "08", "01"], "c": 1500.0}


# Names

GOOD = ("T1", "T2FLAIR", "sub-01", "é", "a b", "O'Brien", "x" * 100, "_a", "7", "a.b", "1.5T")
BAD = ("", ".", "..", "../x", "a/b", "a\\b", "-a", ".a", "=A1", "+1", "@x", " a", "a ", "a.", "a..b", "x" * 101)
BAD += ("é" * 51,)
BAD += ("a\n", "a\r", "\x1b[31m", "a\x00", "\u202ea", "\udcff", "$(x)", "`x`", "a|b", "a:b", "a*", "a?", "<b>")


@pytest.mark.parametrize("name", GOOD)
def test_an_ordinary_name_passes(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", BAD, ids=ascii)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    refused(lambda: checked_name(name, "the subject"), "^the subject")
    refused(lambda: Modality(name), "^the modality")


@pytest.mark.parametrize("path", ["/etc", "../x", "a/../b", "a//b", "./a", "a/.b", "", "a/-b", "~/x"])
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    refused(lambda: checked_path(path))
    assert checked_path("a/b c/d.nii") == "a/b c/d.nii" and checked_path(".") == "."


# Weights

TINY = ("T1", "T2FLAIR", "CT")
JSON_OF_A_PRIOR = [
    (("spec", 0, "name"), "../escape"),
    (("spec", 0, "name"), "/etc/x"),
    (("spec", 0, "name"), 3),
    (("spec", 0, "window"), [1, 0]),
    (("spec", 0, "window"), [0, 3e38]),
    (("spec", 0, "window"), "ab"),
    (("spec",), []),
    (("spec",), {"a": 1}),
    (("size",), 0),
    (("size",), -1),
    (("size",), 10**9),
    (("size",), "x"),
    (("size",), None),
    (("network", "width"), 6000),
    (("network", "width"), 4096),
    (("network", "width"), 0),
    (("network", "width"), -8),
    (("network", "width"), "x"),
    (("network", "width"), 10**18),
    (("network", "multipliers"), []),
    (("network", "multipliers"), [1] * 3000),
    (("network", "multipliers"), [0, 1]),
    (("network", "multipliers"), "ab"),
    (("network", "blocks"), 10**9),
    (("network", "blocks"), None),
    (("network", "head_width"), 0),
    (("network", "patch"), 0),
    (("network", "dropout"), 2),
    (("network", "channels"), 10**9),
    (("network", "noise_levels"), "x"),
    (("network", "extra"), 1),
    (("network",), []),
    (("network",), None),
    (("schedule", "length"), 10**8),
    (("schedule", "length"), 1),
    (("schedule", "length"), "many"),
    (("schedule", "kind"), "x"),
    (("schedule",), 3),
    (("predicts",), "x"),
    (("predicts",), ["noise"]),
    (("calibration", "times"), [5, 1]),
    (("calibration", "times"), []),
    (("calibration", "times"), "ab"),
    (("calibration", "error"), [[[[1.0]]]]),
    (("calibration", "gain"), [[1.0]]),
    (("calibration",), 1),
    (("sha256",), 3),
    (("sha256",), "0" * 64),
    (("card",), 3),
    (("card",), None),
    (("card", "data", "preprocessing", "field_of_view_mm"), 0),
    (("card", "data", "preprocessing", "field_of_view_mm"), 1e300),
    (("card", "data", "preprocessing", "percentile"), 1e-300),
    (("card", "data", "preprocessing", "percentile"), "x"),
    (("card", "data"), 3),
    (("card", "config"), []),
    (("extra",), 1),
]


@pytest.fixture(scope="module")
def weights(tiny_prior: Prior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the small prior."""
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    tiny_prior.save(path)
    return path


@pytest.mark.parametrize(("place", "value"), JSON_OF_A_PRIOR)
def test_a_wrong_field_of_a_priors_json_is_refused(place: tuple, value: object, weights: Path, tmp_path: Path) -> None:
    values = json.loads(weights.with_suffix(".json").read_text())
    *way, last = place
    part = values
    for key in way:
        part = part[key]
    part[last] = value
    shutil.copy(weights, tmp_path / "w.safetensors")
    (tmp_path / "w.json").write_text(json.dumps(values))
    refused(lambda: Prior.load(tmp_path / "w.safetensors"), r"w\.(json|safetensors): ")


JSON_OF_A_METHOD = [
    (("method",), "x"),
    (("method",), ["minet"]),
    (("fill",), 0),
    (("fill",), False),
    (("fill",), None),
    (("config", "features"), 0),
    (("config", "features"), 10**9),
    (("config", "features"), 4096),
    (("config", "blocks"), 10**6),
    (("config", "target"), "nothing"),
    (("config", "name"), "../x"),
    (("config",), 3),
    (("spec", 1, "name"), "../../escape"),
    (("size",), 0),
    (("card",), []),
]


@pytest.mark.parametrize(("place", "value"), JSON_OF_A_METHOD)
def test_a_wrong_field_of_a_methods_json_is_refused(place: tuple, value: object, tmp_path: Path) -> None:
    path = repository("weights", "minet-64.safetensors")
    values = json.loads(path.with_suffix(".json").read_text())
    *way, last = place
    part = values
    for key in way:
        part = part[key]
    part[last] = value
    shutil.copy(path, tmp_path / "w.safetensors")
    (tmp_path / "w.json").write_text(json.dumps(values))
    refused(lambda: load_method(str(tmp_path / "w.safetensors")), r"w\.(json|safetensors): ")


@pytest.mark.parametrize("fill", [False, 0, "0.0", -1.0])
def test_the_fill_of_a_method_is_its_own(fill: object, tmp_path: Path) -> None:
    path = repository("weights", "mmresvit-64.safetensors" if fill != -1.0 else "mmgan-64.safetensors")
    values = json.loads(path.with_suffix(".json").read_text()) | {"fill": fill}
    shutil.copy(path, tmp_path / "w.safetensors")
    (tmp_path / "w.json").write_text(json.dumps(values))
    refused(lambda: load_method(str(tmp_path / "w.safetensors")), "fill")


# Volumes


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small NIfTI file."""
    path = tmp_path_factory.mktemp("scan") / "x.nii"
    write_volume(path, np.random.default_rng(0).random((6, 7, 8)).astype(np.float32), np.diag([8.0, 8.0, 8.0, 1.0]))
    return path.read_bytes()


HEADERS = {
    "huge": (40, "<8h", (3, 32767, 32767, 32767, 1, 1, 1, 1), r"32767 x 32767 x 32767 voxels; at most"),
    "negative": (40, "<8h", (3, -6, 7, 8, 1, 1, 1, 1), "voxels|header"),
    "no dimensions": (40, "<8h", (0, 0, 0, 0, 0, 0, 0, 0), "dimensions|damaged"),
    "vox_offset infinite": (108, "<f", (float("inf"),), "damaged"),
    "vox_offset NaN": (108, "<f", (float("nan"),), "damaged"),
    "vox_offset 1e30": (108, "<f", (1e30,), "damaged"),
    "magic ni1": (344, "<4s", (b"ni1\0",), r"half of a pair"),
    "no magic": (344, "<4s", (b"\0\0\0\0",), "no NIfTI file"),
    "unit 7": (123, "<B", (7,), "damaged"),
    "datatype 7": (70, "<h", (7,), "damaged"),
    "RGB": (70, "<2h", (128, 24), "type|damaged"),
    "complex": (70, "<2h", (32, 64), "type|damaged|truncated"),
    "slope infinite": (112, "<f", (float("inf"),), "damaged"),
    "intercept infinite": (116, "<f", (float("-inf"),), "damaged"),
    "more voxels": (40, "<8h", (3, 60, 70, 80, 1, 1, 1, 1), "truncated"),
}


@pytest.mark.parametrize("fault", HEADERS)
@pytest.mark.parametrize("packed", [False, True], ids=["nii", "nii.gz"])
def test_a_header_is_not_believed(fault: str, packed: bool, scan: bytes, tmp_path: Path) -> None:
    at, form, values, words = HEADERS[fault]
    raw = bytearray(scan)
    struct.pack_into(form, raw, at, *values)
    path = tmp_path / ("x.nii.gz" if packed else "x.nii")
    path.write_bytes(gzip.compress(bytes(raw)) if packed else bytes(raw))
    refused(lambda: read_volume(path), "^" + re.escape(str(path)), words)


def test_what_unfolds_to_more_than_its_header_says_is_not_unfolded(scan: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(scan + bytes(2**24)))
    refused(lambda: read_volume(tmp_path / "x.nii.gz"), "unfolds to more than")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "missing"])
def test_a_volume_is_a_regular_file(kind: str, tmp_path: Path) -> None:
    NO_FILES[kind][0](tmp_path / "x.nii")
    refused(lambda: read_volume(tmp_path / "x.nii"), "a NIfTI file is needed")


def test_values_that_no_scanner_gives_are_refused() -> None:
    rng = np.random.default_rng(0)
    head = np.zeros((16, 16, 16), np.float32)
    head[3:13, 3:13, 3:13] = 1
    t1 = head * (100 + 50 * rng.random(head.shape).astype(np.float32))
    scored = np.where(head > 0, (t1 - t1[head > 0].mean()) / t1[head > 0].std(), 0)
    ct = np.where(head > 0, 40 + 20 * rng.random(head.shape), -1024).astype(np.float32)
    hu, suvr = Modality("CT", "CT", "HU", (-1000.0, 1600.0)), Modality("PET", "PET", "SUVR", (0.0, 2.5))
    for modality, right, wrong, words in (
        (Modality("T1"), t1, scored, "% of its voxels are negative.*not z-scored"),
        (Modality("T1"), t1, np.where(rng.random(head.shape) < 0.08, -t1, t1), "% of its voxels are negative"),
        (hu, ct, ct + 1024, "its lowest value is 0, but air is -1000 HU; give CT in HU with the air around the head"),
        (hu, ct, np.where(head > 0, ct + 1024, -1024), "100% of the middle .* above 300 HU.*subtract 1024"),
        (suvr, head, 5000 * head, "100% of the middle .* above 2.5 SUVR.*bring it to SUVR first"),
    ):
        for data in (right, wrong):
            volume = Volume(data.astype(np.float32), np.eye(4), Path("x.nii"))
            scale = Normalisation.fit(modality, volume.data)
            if data is right:
                require_plausible(volume, modality, scale)
            else:
                refused(lambda: require_plausible(volume, modality, scale), r"^x\.nii: ", words)  # noqa: B023


def test_bytes_are_no_image_units() -> None:
    image = np.random.default_rng(0).random((16, 16))
    assert psnr(image, image) == 100.0 and psnr(image, image + 0.7) < 20
    refused(lambda: psnr((255 * image).astype("u1"), (255 * image).astype("u1")), "divide bytes by 255")
    refused(lambda: psnr(image, 255 * image), "of the prediction")


LIMITS = [(0, 3.4e38), (-3e38, 3e38), (0, 1e-300), (0, float("inf")), (float("nan"), 1), (1, 0)]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_scale_keeps_the_output_finite(limits: tuple[float, float]) -> None:
    refused(lambda: Normalisation(*limits), "finite low < high")


# k-space


def fields() -> dict[str, np.ndarray]:
    """k-space of two slices with one coil."""
    image = np.zeros((2, SIZE, SIZE))
    image[:, 6:18, 6:18] = 0.5 + 0.4 * np.random.default_rng(0).random((2, 12, 12))
    waves = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(1, 2)), norm="ortho"), axes=(1, 2))
    data, maps = waves[:, None].astype(np.complex64), np.ones((1, SIZE, SIZE), np.complex64)
    return {"kspace": data, "mask": np.ones(SIZE, bool), "maps": maps, "noise_std": np.float64(0.01)}


def read(path: Path) -> object:
    """Read k-space of the small grid."""
    return read_kspace(path, "T1", KSpaceGrid(2, SIZE, 192.0), axes="PLS" if path.suffix == ".h5" else None)


def test_the_byte_order_of_another_machine_is_read(tmp_path: Path) -> None:
    values = fields()
    np.savez(tmp_path / "y.npz", **values)
    swapped = {name: np.asarray(v).astype(np.asarray(v).dtype.newbyteorder(">")) for name, v in values.items()}
    np.savez(tmp_path / "z.npz", **swapped | {"kspace": np.asfortranarray(swapped["kspace"])})
    same, other = (read(tmp_path / name).kspace for name in ("y.npz", "z.npz"))
    assert (same.data == other.data).all() and (same.maps == other.maps).all() and same.noise_std == other.noise_std


ARRAYS = {
    "text": np.array("text"),
    "bytes": np.array([b"bytes"]),
    "structured": np.zeros(3, dtype=[("a", "f4")]),
    "void": np.zeros(2, dtype="V8"),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
    "objects": np.array([{}], dtype=object),
    "empty": np.zeros((0,)),
    "five dimensions": np.zeros((1, 1, 1, 1, 2)),
    "NaN": np.full((2, 1, SIZE, SIZE), np.nan),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("field", ["kspace", "mask", "maps", "noise_std", "range"])
def test_a_strange_array_of_kspace_is_refused(kind: str, field: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", **fields() | {field: ARRAYS[kind]})
    refused(lambda: read(tmp_path / "y.npz"), r"y\.npz: ")


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_strange_array_of_coil_maps_is_refused(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", ARRAYS[kind])
    refused(lambda: read_maps(tmp_path / "m.npy", "T1"), r"m\.npy: ")


def member(shape: str, descr: str = "<c8") -> bytes:
    """The beginning of an array that promises `shape`."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(2, 1, 24, 9999999999)", "(-1, 5)", "('a',)", "(1.5,)", "5"])
@pytest.mark.parametrize("form", ["npz", "npy"])
def test_a_promised_shape_is_not_believed(shape: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / f"y.{form}"
    if form == "npy":
        path.write_bytes(member(shape))
        refused(lambda: read_maps(path, "T1"), r"y\.npy: ")
        return
    values = fields()
    del values["kspace"]
    np.savez(path, **values)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("kspace.npy", member(shape))
    refused(lambda: read(path), r"y\.npz: ")


def _flags(raw: bytes) -> bytes:
    """Say of every member that it is encrypted."""
    raw = bytearray(raw)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + at] |= 1
            place = raw.find(mark, place + 4)
    return bytes(raw)


def _compressed(raw: bytes) -> bytes:
    """Say of every member that it is compressed in a way that nobody knows."""
    raw = bytearray(raw)
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + at] = 99
            place = raw.find(mark, place + 4)
    return bytes(raw)


ARCHIVES = {
    "encrypted": _flags,
    "truncated": lambda raw: raw[: len(raw) // 2],
    "a changed byte": lambda raw: raw[:300] + bytes([raw[300] ^ 1]) + raw[301:],
    "unknown compression": _compressed,
    "no archive": lambda raw: b"x" * 100,
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_damaged_archive_is_refused(kind: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **fields())
    raw = ARCHIVES[kind](buffer.getvalue())
    assert raw != buffer.getvalue()
    (tmp_path / "y.npz").write_bytes(raw)
    refused(lambda: read(tmp_path / "y.npz"), r"y\.npz: ")


def test_a_member_that_stands_twice_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "y.npz", **fields())
    with zipfile.ZipFile(tmp_path / "y.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("mask.npy", b"x")
    refused(lambda: read(tmp_path / "y.npz"), "twice")


HDF5 = ("external", "soft", "external below a group", "virtual", "stored elsewhere", "huge", "sparse", "group", "empty")


@pytest.mark.parametrize("kind", HDF5)
@pytest.mark.parametrize("field", ["kspace", "maps"])
def test_hdf5_is_read_without_links_and_promises(kind: str, field: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra [kspace] is not installed")
    values = fields()
    side = "".join(f"<{axis}>{{}}</{axis}>" for axis in "xyz")
    space = f"<encodedSpace><matrixSize>{side.format(SIZE, SIZE, 1)}</matrixSize>"
    space += f"<fieldOfView_mm>{side.format(192, 192, 4)}</fieldOfView_mm></encodedSpace>"
    head = f'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>{space}</encoding></ismrmrdHeader>'
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = values[field]
    path = tmp_path / "y.h5"
    with h5py.File(path, "w") as file:
        file["kspace"], file["mask"], file["maps"] = values["kspace"], values["mask"], values["maps"]
        file["ismrmrd_header"], file["noise_std"] = head, 0.01
    read(path)
    with h5py.File(path, "a") as file:
        del file[field]
        if kind == "external":
            file[field] = h5py.ExternalLink("other.h5", "secret")
        elif kind == "soft":
            file[field] = h5py.SoftLink("/mask")
        elif kind == "external below a group":
            file.create_group("dataset")["data"] = h5py.ExternalLink("other.h5", "secret")
            file[field] = h5py.SoftLink("/dataset/data")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape=values[field].shape, dtype=values[field].dtype)
            layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "secret", shape=values[field].shape)
            file.create_virtual_dataset(field, layout)
        elif kind == "stored elsewhere":
            size = values[field].nbytes
            file.create_dataset(
                field, values[field].shape, values[field].dtype, external=[(str(tmp_path / "raw"), 0, size)]
            )
        elif kind == "huge":
            file.create_dataset(field, shape=(10**5, 10**6), dtype="c8", chunks=(100, 100))
        elif kind == "sparse":
            file.create_dataset(field, shape=(2, 16, 1024, 1024), dtype="c8", chunks=(1, 1, 64, 64))
        elif kind == "group":
            file.create_group(field)
        else:
            file.create_dataset(field, data=h5py.Empty("c8"))
    refused(lambda: read(path), r"y\.h5: ")


# Stores, checkpoints, records


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A slice store of three subjects."""
    images = np.full((2, 3, SIZE, SIZE), 0.5, np.float16)
    with StoreWriter(tmp_path / "store", StackSpec.of(*TINY), SIZE) as writer:
        for split, subject in (("train", "a"), ("val", "b"), ("test", "c")):
            writer.add(split, subject, [0, 1], [0.0, 4.0], images)
        writer.finish({"card": "c", "profile": "ci", "fingerprint": "f", "preprocessing": {}, "subjects": {}})
    return tmp_path / "store"


MANIFEST = [("spec", 3), ("spec", []), ("spec", [{"name": "../x"}]), ("size", 0), ("size", "x"), ("size", 10**9)]
MANIFEST += [("sha256", []), ("sha256", {}), ("labels", 3), ("labels", [{}]), ("card", "../x"), ("card", None)]
MANIFEST += [("profile", 3), ("format", None), ("format", "a2a slice store 99"), ("subjects", [])]


@pytest.mark.parametrize(("field", "value"), MANIFEST)
def test_a_wrong_field_of_a_manifest_is_refused(field: str, value: object, store: Path) -> None:
    path = store / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    refused(lambda: SliceStore.open(store, verify=True))


@pytest.mark.parametrize("field", ["spec", "size", "sha256", "card", "profile", "fingerprint", "format"])
def test_a_manifest_without_a_key_is_refused(field: str, store: Path) -> None:
    path = store / "manifest.json"
    values = json.loads(path.read_text())
    del values[field]
    path.write_text(json.dumps(values))
    refused(lambda: SliceStore.open(store).said(field), field)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5, 2.0])
def test_slices_that_are_no_images_are_refused_though_their_checksum_is_right(value: float, store: Path) -> None:
    array = np.load(store / "val.npy", mmap_mode="r+")
    array[1, 0, 3, 3] = value
    array.flush()
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["sha256"]["val.npy"] = sha256(store / "val.npy")
    (store / "manifest.json").write_text(json.dumps(manifest))
    refused(lambda: SliceStore.open(store, verify=True), r"val\.npy has values that are NaN or leave \[0, 1\]")


CHANGES = [("step", "x"), ("step", "-1"), ("seconds", "nan"), ("losses", "3"), ("losses", "[x")]


@pytest.mark.parametrize("change", CHANGES)
def test_the_header_of_a_checkpoint_is_checked(change: tuple[str, str], tiny_prior: Prior, tmp_path: Path) -> None:
    from safetensors.torch import save

    from a2a.training.checkpoint import DIGEST, _digest

    state = tiny_prior.network.state_dict()
    save_checkpoint(tmp_path, Checkpoint(3, 1.0, "float32", state), "same")
    assert load_checkpoint(tmp_path, "same").step == 3
    header = {"step": "3", "seconds": "1.0", "numerics": "float32", "losses": "[]", "identity": "same"}
    wrong = header | dict([change])
    (tmp_path / CHECKPOINT).write_bytes(save(state, wrong | {DIGEST: _digest(wrong, state)}))
    refused(lambda: load_checkpoint(tmp_path, "same"))
    del header[change[0]]
    (tmp_path / CHECKPOINT).write_bytes(save(state, header | {DIGEST: _digest(header, state)}))
    if change[0] != "losses":
        refused(lambda: load_checkpoint(tmp_path, "same"), change[0])


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"chapter": 3}', "[" * 1000, "\x00"])
def test_a_strange_record_of_a_run_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    assert read_run(tmp_path) is None


CONFIG = [("profile", "../x"), ("profile", 3), ("card", "a{b}"), ("card", "-x"), ("out", "{name}"), ("out", "a\nb")]
CONFIG += [("experiments", ["../$(x).yaml"]), ("experiments", 3), ("chapters", ["$(x)"]), ("devices", 10**9), ("x", 1)]


@pytest.mark.parametrize(("field", "value"), CONFIG)
def test_a_wrong_field_of_the_workflow_is_refused(field: str, value: object) -> None:
    sound = yaml.safe_load(repository("workflow", "config.yaml").read_text())
    Plan.read(sound)
    refused(lambda: Plan.read(sound | {field: value}), "workflow/config.yaml: field")


def test_every_word_of_a_command_of_the_workflow_is_quoted() -> None:
    text = repository("workflow", "Snakefile").read_text()
    commands = re.findall(r"shell:.*?\n((?:\s+\"[^\n]*\n)+)", text)
    assert len(commands) == 6 and 'shell("' not in text
    loose = {found for found in re.findall(r"\{([^{}]+)\}", "".join(commands)) if not found.endswith(":q")}
    assert loose <= {"threads", "PLAN.devices"}


def test_a_target_that_is_given_is_none() -> None:
    spec = StackSpec.of(*TINY)
    refused(lambda: Scenario.parse("T1 + y(CT)", spec).require_open(["T1"], spec), "target T1 is given clean")
    Scenario.parse("T1 + y(CT)", spec).require_open(["CT", "FLAIR"], spec)
    Scenario.parse("T1 + T2FLAIR + CT", spec).require_open(["T1"], spec)


# A preparation


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """The card of a set with one image a subject."""
    values = {
        "name": "mine",
        "title": r"$\frac$ <img src=x onerror=alert(1)> # {a}`b`",
        "description": ":::{raw} html <script>",
        "stands_in_for": "=HYPERLINK(1)",
        "licence": {"name": "`n` | x", "owner": "o", "terms": "t", "url": "https://example.org/a"},
        "citation": [],
        "how_to_get": "by hand",
        "modalities": [{"name": "T1", "kind": "MR", "unit": "a.u.", "normalisation": "subject-percentile"}],
        "source": {"kind": "files", "layouts": [{"name": "l", "subject": "*", "files": {"T1": "{subject}/*x.nii"}}]},
        "preprocessing": {"field_of_view_mm": 192, "size": 24},
        "profiles": {"ci": {"fractions": {"train": 0.4, "val": 0.2, "test": 0.4}}},
    }
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_one_bad_subject_does_not_end_a_preparation(card: Path, scan: bytes, tmp_path: Path) -> None:
    huge, infinite, unit = (bytearray(scan) for _ in range(3))
    struct.pack_into("<8h", huge, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    struct.pack_into("<f", infinite, 108, float("inf"))
    unit[123] = 7
    strange = {"huge": huge, "infinite": infinite, "unit": unit, "x" * 230: scan, "a\rb": scan, "=1+1": scan}
    strange |= {"-rf": scan, os.fsdecode(b"\xff\xfe"): scan, "\x1b[31mred": scan, "$(touch PWNED)": scan}
    for i, (name, content) in enumerate({"good": scan, "fine one": scan, **strange}.items()):
        (tmp_path / "data" / name).mkdir(parents=True)
        own = content[:148] + bytes([65 + i]) + content[149:]  # its description, so that no two files are the same
        (tmp_path / "data" / name / "x.nii").write_bytes(own)
        (tmp_path / "data" / name / "._x.nii").write_bytes(b"\0\5\x16\7" + bytes(4092))
    before = set(tmp_path.iterdir())
    report = prepare(card, tmp_path / "out", tmp_path / "data")
    assert report.subjects == 2 and len(report.skipped) == len(strange)
    reasons = {skipped.subject: skipped.reason for skipped in report.skipped}
    assert "32767" in reasons["huge"] and "damaged" in reasons["infinite"] and "damaged" in reasons["unit"]
    assert all(text.isprintable() for pair in reasons.items() for text in pair)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<img src=x" not in page and "\x1b" not in page and set(tmp_path.iterdir()) == before | {tmp_path / "out"}


def test_a_picture_takes_names_as_they_are() -> None:
    assert sheet_png(r"$\frac$ {x}_y^", StackSpec.of("T1"), [0.0], np.zeros((1, 1, 24, 24))).startswith(b"\x89PNG")


# Chapters, pages, tables


def test_a_chapter_with_a_byte_order_mark_is_a_chapter(tmp_path: Path) -> None:
    sound = Path(__file__).parent / "book" / "mini" / "book" / "01-mini.md"
    path = tmp_path / "01-mini.md"
    path.write_bytes(b"\xef\xbb\xbf" + sound.read_bytes().replace(b"\n", b"\r\n"))
    assert is_chapter(path) and read_chapter(path) == read_chapter(sound)


def test_a_gallery_shows_texts_as_texts(tmp_path: Path) -> None:
    sound = read_chapter(Path(__file__).parent / "book" / "mini" / "book" / "01-mini.md")
    evil = ["<img src=x onerror=alert(1)>", "=HYPERLINK(1)", "<script>alert(1)</script>"]
    grid = Grid(name="g", chapters=["01-mini"], parameters={"word": evil, "<b>": [1]})
    settings = [{"word": word, "<b>": 1} for word in evil]
    tasks = [Task(sound, one, tmp_path / str(i), "key", None, one["word"]) for i, one in enumerate(settings)]
    table = gather(grid, tasks, tmp_path)
    assert table.word.tolist() == evil
    folder = tmp_path / "runs" / "grid" / "g"
    for page in folder.glob("*.html"):
        text = page.read_text()
        assert "<img" not in text and "<script>alert" not in text and "<b>" not in text
    assert "&lt;img src=x" in (folder / "index.html").read_text()
    assert pd.read_csv(folder / "summary.csv").word.tolist() == [evil[0], "'" + evil[1], evil[2]]


def test_the_page_of_a_card_shows_texts_as_texts(card: Path, tmp_path: Path) -> None:
    from markdown_it import MarkdownIt

    from a2a.bookmaking.card_pages import materials_page

    (tmp_path / "data_cards").mkdir()
    shutil.copy(card, tmp_path / "data_cards" / "mine.yaml")
    page = materials_page(tmp_path)
    made = MarkdownIt("commonmark", {"html": True}).enable("table").render(page)
    assert "<img" not in made and "<script" not in made and "\n:::" not in page
    assert "&lt;script&gt;" in made and "&lt;img src=x" in made


MARKUP = [
    "<b>",
    "# a",
    "- a",
    "+ a",
    "1. a",
    "1) a",
    ":::{x}",
    "`a`",
    "a\\b",
    "{a}`b`",
    "$x$",
    "&lt;",
    "> a",
    "~~~",
]


@pytest.mark.parametrize("text", MARKUP)
def test_markup_is_escaped(text: str) -> None:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True})
    for made in (markdown(text), code(text)):
        tokens = reader.parse(made)
        inside = tokens[1].children if len(tokens) == 3 else []
        kinds = {child.type for child in inside}
        assert tokens[0].type == "paragraph_open" and kinds <= {"text", "text_special", "code_inline"}
    assert "".join(child.content for child in reader.parse(markdown(text))[1].children) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_is_no_formula(text: str) -> None:
    table = for_spreadsheet(pd.DataFrame({"a": [text, "plain", None], "b": [-1.5, 2.0, 3.0]}))
    assert table.a.tolist() == ["'" + text, "plain", None] and table.b.tolist() == [-1.5, 2.0, 3.0]


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\nb", "\u202ex", "\udcff", "x" * 5000, "\x00", "\x9b1m"], ids=ascii)
def test_what_is_shown_is_one_printable_line(text: str) -> None:
    assert shown(text).isprintable() and len(shown(text)) <= 220


def test_a_reader_of_headers_says_nothing_itself(scan: bytes, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    raw = bytearray(scan)
    struct.pack_into("<h", raw, 70, 7)
    (tmp_path / "x.nii").write_bytes(bytes(raw))
    refused(lambda: read_volume(tmp_path / "x.nii"))
    assert capfd.readouterr().err == ""
