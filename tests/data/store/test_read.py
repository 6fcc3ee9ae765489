"""The slice store: what goes in comes out, damage is noticed, nothing is half-written."""

import json
from pathlib import Path

import numpy as np
import pytest

from a2a.common.errors import InputError
from a2a.data.store.read import SliceStore, sha256
from a2a.data.store.write import StoreWriter
from a2a.forward.stack import StackSpec

SPEC = StackSpec.of("T1", "T2")


def _images(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 2, 8, 8)).astype(np.float16)


def _write(path: Path, overwrite: bool = False, seed: int = 0) -> Path:
    with StoreWriter(path, SPEC, 8, overwrite) as writer:
        writer.add("train", "a", [3, 4], [-1.5, 2.5], _images(seed, 2))
        writer.add("test", "b", [0], [7.0], _images(seed + 1, 1))
        writer.add("train", "c", list(range(12)), [0.0] * 12, _images(seed + 2, 12))
        writer.finish({"card": "made-up"})
    return path


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = SliceStore.open(_write(tmp_path / "deep" / "store"), verify=True)
    assert store.spec == SPEC and store.size == 8 and store.manifest["card"] == "made-up"
    assert store.manifest["rows"] == {"train": 14, "val": 0, "test": 1}
    train = store.split("train")
    assert isinstance(train.images, np.memmap) and not train.images.flags.writeable and len(train) == 14
    np.testing.assert_array_equal(train.images[:2], _images(0, 2))
    np.testing.assert_array_equal(train.images[train.rows("c")], _images(2, 12))
    assert train.subjects.tolist() == ["a"] * 2 + ["c"] * 12
    assert train.planes[:3].tolist() == [3, 4, 0] and train.z_mm[:2].tolist() == [-1.5, 2.5]
    assert store.split("val").images.shape == (0, 2, 8, 8)
    np.testing.assert_array_equal(np.load(store.path / "test.npy"), _images(1, 1))


def test_the_number_of_rows_may_grow_by_digits(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "store", StackSpec.of("T1"), 1) as writer:
        for i in range(12):
            writer.add("train", str(i), list(range(100)), [0.0] * 100, np.full((100, 1, 1, 1), i / 16, np.float16))
        writer.finish({})
    images = SliceStore.open(tmp_path / "store").split("train").images
    np.testing.assert_array_equal(images[::100, 0, 0, 0], np.arange(12) / 16)


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    first, second = _write(tmp_path / "one"), _write(tmp_path / "two")
    for file in first.iterdir():
        if file.is_file():
            assert file.read_bytes() == (second / file.name).read_bytes()


def test_an_exception_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), StoreWriter(tmp_path / "store", SPEC, 8) as writer:
        writer.add("train", "a", [0], [0.0], _images(0, 1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_overwriting_replaces_only_a_finished_store(tmp_path: Path) -> None:
    path = _write(tmp_path / "store")
    with pytest.raises(InputError, match="is not empty; add --overwrite"):
        StoreWriter(path, SPEC, 8)
    with pytest.raises(RuntimeError), StoreWriter(path, SPEC, 8, overwrite=True):
        raise RuntimeError
    np.testing.assert_array_equal(SliceStore.open(path, verify=True).split("train").images[:2], _images(0, 2))
    _write(path, overwrite=True, seed=5)
    np.testing.assert_array_equal(SliceStore.open(path, verify=True).split("train").images[:2], _images(5, 2))
    assert [p.name for p in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("name", ["notes.txt", "manifest.json"])
def test_other_folders_are_never_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"format": "something else"}')
    with pytest.raises(InputError, match="holds no slice store"):
        StoreWriter(tmp_path, SPEC, 8, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(InputError, match="store is a file and no folder"):
        StoreWriter(tmp_path / "store", SPEC, 8, overwrite=True)


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert len(SliceStore.open(_write(tmp_path / "store")).split("test")) == 1


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((1, 3, 8, 8)), "have shape"),
        (np.zeros((2, 2, 8, 8)), "have shape"),
        (np.full((1, 2, 8, 8), 1.5), "leave"),
        (np.full((1, 2, 8, 8), np.nan), "leave"),
    ],
)
def test_slices_that_do_not_belong_are_refused(images: np.ndarray, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words), StoreWriter(tmp_path / "store", SPEC, 8) as writer:
        writer.add("train", "a", [0], [0.0], images)


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


def _edit_manifest(**changes: object) -> object:
    def edit(path: Path) -> None:
        file = path / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return edit


def _edit_index(old: str, new: str) -> object:
    """Change the index, and its checksum with it."""

    def edit(path: Path) -> None:
        file = path / "index.csv"
        file.write_text(file.read_text().replace(old, new, 1))
        sums = json.loads((path / "manifest.json").read_text())["sha256"]
        _edit_manifest(sha256=sums | {"index.csv": sha256(file)})(path)

    return edit


def _link_out(path: Path) -> None:
    (path / "train.npy").rename(path.parent / "elsewhere.npy")
    (path / "train.npy").symlink_to(path.parent / "elsewhere.npy")


BAD = {
    "changed byte": (lambda p: _flip(p / "train.npy"), r"train.npy does not match the checksum"),
    "truncated array": (lambda p: (p / "train.npy").write_bytes((p / "train.npy").read_bytes()[:-9]), "train.npy"),
    "no array": (lambda p: (p / "val.npy").unlink(), "val.npy is missing"),
    "no index": (lambda p: (p / "index.csv").unlink(), "index.csv is missing"),
    "no manifest": (lambda p: (p / "manifest.json").unlink(), "is no slice store"),
    "broken manifest": (lambda p: (p / "manifest.json").write_text("{"), "not valid JSON"),
    "size is no number": (_edit_manifest(size="eight"), "field size: "),
    "spec is no list of modalities": (_edit_manifest(spec=[{"unit": "HU"}]), "field spec.0.name: Field required"),
    "index without a column": (_edit_index("plane", "level"), "index.csv is damaged"),
    "index with words for numbers": (_edit_index(",4,", ",four,"), "index.csv is damaged"),
    "link out of the store": (_link_out, "train.npy is a symbolic link out of the store"),
    "other format": (_edit_manifest(format="a2a slice store 9"), "is of format 'a2a slice store 9'"),
}


@pytest.mark.parametrize("fault", BAD)
def test_damage_is_noticed(fault: str, tmp_path: Path) -> None:
    damage, words = BAD[fault]
    path = _write(tmp_path / "store")
    damage(path)
    with pytest.raises(InputError, match=words):
        SliceStore.open(path, verify=True)


@pytest.mark.parametrize(
    "damage",
    [
        _edit_manifest(size=16),
        lambda p: (p / "train.npy").write_bytes((p / "train.npy").read_bytes()[:-9]),
        lambda p: (p / "train.npy").write_bytes(b"no array"),
        lambda p: np.save(p / "test.npy", np.zeros((1, 2, 8, 8), np.float32)),
        lambda p: (p / "index.csv").write_text((p / "index.csv").read_text().replace("train,1,a,4,2.5000\n", "")),
    ],
    ids=["size", "truncated", "no array", "other type", "row missing in the index"],
)
def test_contradictions_are_noticed_without_reading_everything(damage: object, tmp_path: Path) -> None:
    path = _write(tmp_path / "store")
    damage(path)
    with pytest.raises(InputError, match="(train|test).npy is"):
        SliceStore.open(path)


def test_a_store_behind_a_link_is_a_store(tmp_path: Path) -> None:
    _write(tmp_path / "disk" / "store")
    (tmp_path / "here").symlink_to(tmp_path / "disk" / "store")
    assert len(SliceStore.open(tmp_path / "here", verify=True).split("train")) == 14


def test_unknown_splits_and_subjects_list_the_known_ones(tmp_path: Path) -> None:
    store = SliceStore.open(_write(tmp_path / "store"))
    with pytest.raises(InputError, match="no split 'dev'; a slice store has train, val, test"):
        store.split("dev")
    with pytest.raises(InputError, match="no subject 'z' in this split; it has a, c"):
        store.split("train").rows("z")
    with pytest.raises(InputError, match="is no slice store"):
        SliceStore.open(tmp_path / "nowhere")
