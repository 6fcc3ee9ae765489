"""What thousands of strange files do to the readers: ``python benchmarks/strangers.py --cases 3000``.

Files of every kind that the package reads are made, then changed at random: values of other types and sizes, missing
and doubled keys, hostile names, flipped bits, headers that promise what is not there. A case is right if the file is
read, or refused by one `InputError` of one printable line. It is wrong if anything else is raised, if a file appears
beside the case's own, if it takes more than ten seconds, or more memory than the budget. Wrong ones are listed.
"""

import argparse
import copy
import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import numpy as np
import torch
import yaml

from a2a.benchmark.drift import Drift
from a2a.benchmark.experiment import Experiment
from a2a.benchmark.statements import Claims
from a2a.bookmaking.grid import Grid
from a2a.bookmaking.run import read_run
from a2a.bookmaking.workflow import Plan
from a2a.common.errors import InputError
from a2a.common.paths import repository
from a2a.data.cards.card import load_card
from a2a.data.kspace.file import read_kspace
from a2a.data.kspace.grid import Grid as KSpaceGrid
from a2a.data.prepare.prepare import prepare
from a2a.data.store.read import SliceStore
from a2a.data.store.write import StoreWriter
from a2a.data.volumes.nifti import read_volume, write_volume
from a2a.forward.stack import StackSpec
from a2a.methods.recipes import load_config
from a2a.methods.references.config import ReferencesConfig
from a2a.methods.registry import load_method
from a2a.networks.unet import UNet, UNetConfig
from a2a.prior.calibration import Calibration
from a2a.prior.frequency_bands import white
from a2a.prior.prior import Prior
from a2a.prior.schedule import NoiseSchedule
from a2a.prior.weights import read_card
from a2a.training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint

SECONDS, MEMORY = 10, 12 * 2**30
SIZE = 24
VALUES = (
    None, True, False, 0, -1, 1, 2, 3.5, 10**9, 10**18, 10**38, -(10**30), 1e308, 1e-300, -0.5, "", "x", "7", "1e999",
    "../escape", "a/b", "..", ".", "-rf", "/etc/passwd", "$(touch PWNED)", "<img src=x onerror=alert(1)>", "a b", "T1",
    "=HYPERLINK(1)", "\x1b[31mred", "$\\frac$", "\u202eevil", "é" * 300, "x" * 5000, "a\nb", "2024-13-45", [], {}, [1],
    ["a"], [[]], [None], {"a": 1}, {"a": {"b": []}}, [1] * 3000, list(range(40)), [[[[[1.0]]]]], "0..999999999",
    ["0..999999999"], [1e30, -1e30], [0.0, 3.4e38],
)  # fmt: skip
TEXTS = (
    b"", b"\x00" * 64, b"\xff\xfe\x00a", b"name: \xe9\n", b"\xef\xbb\xbf", b"a: &x [1]\nb: *x\n", b"a: !!int x\n",
    b"a: !!python/object/apply:os.system [touch PWNED]\n", b"- 2024-13-45\n", b"a: 1\na: 2\n", b"[" * 100000,
    b"9" * 5000, b"a: " + b"9" * 5000, b"{a: [01, 02]}", b"? [1]\n: 2\n", b"a: .nan\n", b"%YAML 9.9\n---\na: 1\n",
    b"--- 1\n--- 2\n", b"<<: *x\n", b"null", b"[]", b'"text"', b"1", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'"\\ud800"',
    b"# " + b"x" * 2**21,
)  # fmt: skip

FLOATS = (0.0, 1.0, -1.0, 352.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"))
HEADER = [(at, "h") for at in (40, 42, 44, 46, 48, 68, 70, 72, 252, 254)]  # of NIfTI-1: place and type of its fields
HEADER += [(at, "f") for at in (76, 80, 84, 88, 108, 112, 116, 256, 268, 280, 284, 300, 316)]
HEADER += [(0, "h"), (122, "h"), (344, "s")]


class Hanging(BaseException):
    """A case took too long."""


@dataclass(frozen=True)
class Case:
    """One strange file: how to write it into a folder, and what reads it."""

    kind: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]


def paths(value: object, at: tuple = ()) -> Iterator[tuple]:
    """Yield the way to every value of a document."""
    yield at
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:6]) if isinstance(value, list) else ()
    for key, part in pairs:
        yield from paths(part, (*at, key))


def changed(values: object, rng: random.Random) -> object:
    """Return a document with one or two values replaced, removed, renamed or added."""
    values = copy.deepcopy(values)
    for _ in range(rng.choice((1, 1, 1, 2))):
        places = [place for place in paths(values) if place]
        if not places:
            return values
        *way, last = rng.choice(places)
        parent = values
        for key in way:
            parent = parent[key]
        act = rng.random()
        if act < 0.7:
            parent[last] = copy.deepcopy(rng.choice(VALUES))
        elif act < 0.85:
            del parent[last]
        elif isinstance(parent, dict):
            parent[rng.choice([v for v in VALUES if isinstance(v, str | int)])] = parent.pop(last)
        else:
            parent.append(copy.deepcopy(rng.choice(VALUES)))
    return values


def damaged(raw: bytes, rng: random.Random, head: int | None = None) -> bytes:
    """Return bytes with some bits flipped (of the first `head`), or cut off, or with a piece doubled."""
    data, act = bytearray(raw), rng.random()
    if act < 0.7 and data:
        for _ in range(rng.choice((1, 1, 3, 20))):
            place = rng.randrange(min(len(data), head or len(data)))
            data[place] = rng.choice((data[place] ^ (1 << rng.randrange(8)), 0, 255, 127))
        return bytes(data)
    place = rng.randrange(len(data) + 1)
    return bytes(data[:place] if act < 0.85 else data[:place] + data[place // 2 :])


class Strangers:
    """Sound files of every kind, from which strange ones are made.

    Parameters
    ----------
    folder
        Where the sound files are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = StackSpec.of("T1", "T2FLAIR", "CT")
        network = UNet(UNetConfig(3, width=8, multipliers=(1, 2), attention=(2,), head_width=8))
        error = torch.stack([white([v] * 3, SIZE, SIZE) for v in (0.001, 0.2)]).double()
        card = {"config": {"name": "tiny", "data": "x"}, "data": {"preprocessing": {"field_of_view_mm": 192.0}}}
        known = Calibration((0, 999), error)
        Prior(network, NoiseSchedule(), self.spec, SIZE, known, card).save(folder / "prior.safetensors")
        self._store(folder / "store")
        save_checkpoint(folder, Checkpoint(3, 1.0, "float32", network.state_dict(), (0.1,)), "same")
        self._volume(folder / "scan.nii")
        self._kspace(folder / "y.npz")
        self._hdf5(folder / "y.h5")

    def _store(self, path: Path) -> None:
        images = np.zeros((2, 3, SIZE, SIZE), np.float16)
        with StoreWriter(path, self.spec, SIZE) as writer:
            for split, subject in (("train", "a"), ("val", "b"), ("test", "c")):
                writer.add(split, subject, [0, 1], [0.0, 4.0], images)
            writer.finish({"card": "c", "profile": "ci", "fingerprint": "f", "preprocessing": {}, "subjects": {}})

    def _volume(self, path: Path) -> None:
        data = np.random.default_rng(0).random((12, 14, 10)).astype(np.float32)
        write_volume(path, data, np.diag([8.0, 8.0, 8.0, 1.0]))

    def _fields(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(0)
        image = np.zeros((2, SIZE, SIZE))
        image[:, 6:18, 6:18] = 0.5 + 0.4 * rng.random((2, 12, 12))
        waves = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image, axes=(1, 2)), norm="ortho"), axes=(1, 2))
        maps, mask = np.ones((1, SIZE, SIZE), np.complex64), np.ones(SIZE, bool)
        data = waves[:, None].astype(np.complex64)
        return {
            "kspace": data,
            "mask": mask,
            "maps": maps,
            "noise_std": np.float64(0.01),
            "range": np.array([0.0, 200.0]),
        }

    def _kspace(self, path: Path) -> None:
        np.savez(path, **self._fields())

    def _hdf5(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            return
        fields = self._fields()
        side = "".join(f"<{axis}>{{}}</{axis}>" for axis in "xyz")
        space = f"<encodedSpace><matrixSize>{side.format(SIZE, SIZE, 1)}</matrixSize>"
        space += f"<fieldOfView_mm>{side.format(192, 192, 4)}</fieldOfView_mm></encodedSpace>"
        trajectory = "<trajectory>cartesian</trajectory>"
        name = "http://www.ismrm.org/ISMRMRD"
        head = f'<ismrmrdHeader xmlns="{name}"><encoding>{space}{trajectory}</encoding></ismrmrdHeader>'
        with h5py.File(path, "w") as file:
            file["kspace"], file["mask"], file["ismrmrd_header"] = fields["kspace"], fields["mask"], head
            file["maps"], file["noise_std"], file["range"] = fields["maps"], fields["noise_std"], fields["range"]

    def cases(self, rng: random.Random) -> Iterator[Case]:
        """Yield cases without end, the kinds in turn."""
        makers = [*self._yamls(), self._prior, self._method, self._manifest, self._header, self._run, self._config]
        makers += [self._nifti, self._nifti_header, self._npz, self._npz_fields, self._safetensors, self._prepare]
        makers += [self._hdf5_bytes, self._hdf5_fields] if (self.folder / "y.h5").exists() else []
        while True:
            for make in makers:
                yield make(rng)

    def _yamls(self) -> list[Callable[[random.Random], Case]]:
        sound = {
            Experiment.load: ("experiments/comparison.yaml", "experiments/figures/figure-3.yaml"),
            Drift.load: ("experiments/drift.yaml",),
            Claims.load: ("experiments/claims/any2all.yaml",),
            ReferencesConfig.load: ("experiments/references.yaml",),
            load_config: ("experiments/priors/phantom-any2all-64.yaml", "experiments/baselines/mmresvit-64.yaml"),
            load_card: ("data_cards/open-ms.yaml", "data_cards/phantom-any2all.yaml", "data_cards/ixi.yaml"),
            Grid.load: ("experiments/grid-example.yaml",),
        }

        def maker(load: Callable, files: tuple[str, ...]) -> Callable[[random.Random], Case]:
            documents = [yaml.safe_load(repository(file).read_text(encoding="utf-8")) for file in files]
            owner = getattr(load, "__self__", None)
            kind = f"{owner.__name__ if owner else load.__name__} YAML"

            def make(rng: random.Random) -> Case:
                act, values = rng.random(), rng.choice(documents)
                if act < 0.12:
                    raw = rng.choice(TEXTS)
                elif act < 0.25:
                    raw = damaged(yaml.safe_dump(values).encode(), rng)
                else:
                    raw = yaml.safe_dump(changed(values, rng), allow_unicode=True).encode()
                return Case(kind, lambda f: (f / "x.yaml").write_bytes(raw), lambda f: used(load(f / "x.yaml")))

            return make

        return [maker(load, files) for load, files in sound.items()]

    def _json(self, file: Path, rng: random.Random) -> bytes:
        act, raw = rng.random(), file.read_bytes()
        if act < 0.1:
            return rng.choice(TEXTS)
        return damaged(raw, rng) if act < 0.2 else json.dumps(changed(json.loads(raw), rng)).encode()

    def _weights(self, path: Path, rng: random.Random, kind: str, load: Callable[[Path], object]) -> Case:
        raw = self._json(path.with_suffix(".json"), rng)

        def write(folder: Path) -> None:
            shutil.copy(path, folder / "w.safetensors")
            (folder / "w.json").write_bytes(raw)

        return Case(kind, write, lambda folder: load(folder / "w.safetensors"))

    def _prior(self, rng: random.Random) -> Case:
        load = rng.choice((Prior.load, Prior.load, read_card))
        return self._weights(self.folder / "prior.safetensors", rng, "prior JSON", load)

    def _method(self, rng: random.Random) -> Case:
        name = rng.choice(("minet", "mmgan", "mcvarnet", "m2dn", "mmresvit", "discdiff"))
        path = repository("weights", f"{name}-64.safetensors")
        return self._weights(path, rng, "method JSON", lambda file: load_method(str(file)))

    def _safetensors(self, rng: random.Random) -> Case:
        raw = damaged((self.folder / "prior.safetensors").read_bytes(), rng, 4000)

        def write(folder: Path) -> None:
            shutil.copy(self.folder / "prior.json", folder / "w.json")
            (folder / "w.safetensors").write_bytes(raw)

        return Case("safetensors", write, lambda folder: Prior.load(folder / "w.safetensors"))

    def _manifest(self, rng: random.Random) -> Case:
        raw = self._json(self.folder / "store" / "manifest.json", rng)

        def write(folder: Path) -> None:
            shutil.copytree(self.folder / "store", folder / "store")
            (folder / "store" / "manifest.json").write_bytes(raw)

        return Case("manifest", write, lambda folder: SliceStore.open(folder / "store", verify=True))

    def _header(self, rng: random.Random) -> Case:
        raw = damaged((self.folder / CHECKPOINT).read_bytes(), rng, 300)
        return Case("checkpoint", lambda f: (f / CHECKPOINT).write_bytes(raw), lambda f: load_checkpoint(f, "same"))

    def _run(self, rng: random.Random) -> Case:
        fields = ("chapter", "settings", "key", "started", "seconds", "commit", "machine", "error")
        raw = json.dumps(changed(dict.fromkeys(fields, "x") | {"settings": {}, "seconds": 1.0, "machine": {}}, rng))
        return Case("run record", lambda f: (f / "run.json").write_text(raw), read_run)

    def _config(self, rng: random.Random) -> Case:
        values = yaml.safe_load(repository("workflow", "config.yaml").read_text(encoding="utf-8"))
        values |= {"chapters": ["01-formulation"], "grid": "experiments/grid-example.yaml", "root": "data"}
        values = changed(values, rng)
        return Case("workflow config", lambda f: None, lambda f: Plan.read(values))

    def _nifti(self, rng: random.Random) -> Case:
        raw = (self.folder / "scan.nii").read_bytes()
        packed = rng.random() < 0.5
        raw = damaged(gzip.compress(raw), rng) if packed else damaged(raw, rng)
        name = "x.nii.gz" if packed else "x.nii"
        return Case("NIfTI bytes", lambda f: (f / name).write_bytes(raw), lambda f: read_volume(f / name))

    def _nifti_header(self, rng: random.Random) -> Case:
        raw = bytearray((self.folder / "scan.nii").read_bytes())
        for _ in range(rng.choice((1, 1, 2))):
            at, form = rng.choice(HEADER)
            if form == "s":
                raw[at : at + 4] = rng.choice((b"ni1\0", b"n+2\0", b"abc\0", bytes(4)))
            else:
                wide = rng.choice((0, 1, -1, 5, 7, 64, 255, 32767, -32768) if form == "h" else FLOATS)
                struct.pack_into(f"<{form}", raw, at, wide)
        data = gzip.compress(bytes(raw))
        return Case("NIfTI header", lambda f: (f / "x.nii.gz").write_bytes(data), lambda f: read_volume(f / "x.nii.gz"))

    def _npz(self, rng: random.Random) -> Case:
        raw = damaged((self.folder / "y.npz").read_bytes(), rng, rng.choice((None, 400)))
        return Case("npz bytes", lambda f: (f / "y.npz").write_bytes(raw), lambda f: self._kspace_of(f / "y.npz"))

    def _strange_array(self, rng: random.Random, value: np.ndarray) -> np.ndarray:
        value = np.asarray(value)
        return rng.choice(
            (
                value.astype(">c16" if np.iscomplexobj(value) else ">f8"),
                np.array("text"),
                np.array([b"bytes"]),
                np.zeros(3, dtype=[("a", "f4")]),
                np.zeros(2, dtype="V8"),
                np.array(["2020-01-01"], dtype="datetime64[D]"),
                np.zeros((0,)),
                value * np.nan if value.dtype.kind in "fc" else value,
                value[..., None],
                np.zeros(value.shape),
                np.asfortranarray(value),
                np.array([-3e38, 3e38]),
                np.array([0.0, 1e-300]),
                np.array(-1.0),
                value.astype(np.float16) if value.dtype.kind == "f" else value,
            )
        )

    def _npz_fields(self, rng: random.Random) -> Case:
        fields = self._fields()
        name = rng.choice(sorted(fields))
        act = rng.random()
        if act < 0.15:
            del fields[name]
        else:
            fields[name] = self._strange_array(rng, fields[name])
        buffer = io.BytesIO()
        (np.savez_compressed if rng.random() < 0.5 else np.savez)(buffer, **fields)
        raw = buffer.getvalue()
        if act > 0.85:  # a header that promises more than there is
            shape = rng.choice(("(1000000, 1000000)", "(-1, 5)", "(99999999999999999999,)", "()"))
            about = f"{{'descr': '<c8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
            member = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + about.encode()
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                for key, value in fields.items():
                    with archive.open(f"{key}.npy", "w") as stream:
                        stream.write(member) if key == name else np.save(stream, value)
            raw = buffer.getvalue()
        return Case("npz fields", lambda f: (f / "y.npz").write_bytes(raw), lambda f: self._kspace_of(f / "y.npz"))

    def _kspace_of(self, path: Path) -> object:
        return read_kspace(path, "T1", KSpaceGrid(2, SIZE, 192.0), axes="PLS" if path.suffix == ".h5" else None)

    def _hdf5_bytes(self, rng: random.Random) -> Case:
        raw = damaged((self.folder / "y.h5").read_bytes(), rng, 4000)
        return Case("HDF5 bytes", lambda f: (f / "y.h5").write_bytes(raw), lambda f: self._kspace_of(f / "y.h5"))

    def _hdf5_fields(self, rng: random.Random) -> Case:
        import h5py

        name, act = rng.choice(("kspace", "mask", "ismrmrd_header", "maps", "noise_std", "range")), rng.randrange(9)

        def write(folder: Path) -> None:
            shutil.copy(self.folder / "y.h5", folder / "y.h5")
            with h5py.File(folder / "y.h5", "a") as file:
                old = np.asarray(file[name][()]) if name != "ismrmrd_header" else np.zeros(3)
                del file[name]
                if act == 0:
                    file[name] = h5py.ExternalLink("/etc/passwd", "x")
                elif act == 1:
                    file[name] = h5py.SoftLink("/maps")
                elif act == 2:
                    file.create_dataset(name, shape=(10**5, 10**6), dtype="c8", chunks=(100, 100))
                elif act == 3:
                    file.create_group(name)[name] = old
                elif act == 4:
                    layout = h5py.VirtualLayout(shape=old.shape or (1,), dtype=old.dtype)
                    file.create_virtual_dataset(name, layout)
                elif act == 5:
                    file[name] = "<x" * 1000
                elif act == 6:
                    file.create_dataset(name, data=h5py.Empty("f4"))
                elif act == 7:
                    file[name] = self._strange_array(random.Random(act), old).astype("f4")

        return Case("HDF5 fields", write, lambda f: self._kspace_of(f / "y.h5"))

    def _prepare(self, rng: random.Random) -> Case:
        texts = (v for v in VALUES if isinstance(v, str) and v not in ("", ".", ".."))
        names = [text for text in texts if "/" not in text and len(text.encode()) < 250]
        subject = rng.choice([*names, os.fsdecode(b"\xff\xfe"), "x\r", "y" * 200])
        raw = (self.folder / "scan.nii").read_bytes()
        strange = damaged(raw, rng, 348) if rng.random() < 0.7 else raw
        card = {
            "name": "mine", "title": "$\\frac$ <b>", "description": "d", "stands_in_for": "s", "citation": [],
            "licence": {"name": "n", "owner": "o", "terms": "t"}, "how_to_get": "h",
            "modalities": [{"name": "T1", "kind": "MR", "unit": "a.u.", "normalisation": "subject-percentile"}],
            "source": {"kind": "files", "layouts": [{"name": "l", "subject": "*", "files": {"T1": "{subject}/x.nii"}}]},
            "preprocessing": {"field_of_view_mm": 192, "size": 24},
            "profiles": {"ci": {"fractions": {"train": 0.4, "val": 0.2, "test": 0.4}}},
        }  # fmt: skip

        def write(folder: Path) -> None:
            (folder / "card.yaml").write_text(yaml.safe_dump(card))
            for name, content in (("good", raw), (subject, strange)):
                (folder / "data" / name).mkdir(parents=True)
                (folder / "data" / name / "x.nii").write_bytes(content)

        def read(folder: Path) -> object:
            report = prepare(folder / "card.yaml", folder / "out", folder / "data")
            if report.subjects < 1:
                raise AssertionError("the good subject is lost")
            return report

        return Case("prepare", write, read)


def used(found: object) -> object:
    """Do with a document what a command does at once."""
    if isinstance(found, Experiment):
        for profile in found.profiles:
            found.at(profile)
    if isinstance(found, Grid):
        found.combinations()
    if hasattr(found, "spec") and hasattr(found, "profiles"):
        for profile in found.profiles.values():
            profile.subjects(["a", "b"])
    return found


def verdict(case: Case, folder: Path) -> str:
    """Return an empty text if a case is right, else what is wrong with it."""
    case.write(folder)
    before = {path for path in folder.parent.rglob("*") if folder not in path.parents}
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        case.read(folder)
    except InputError as error:
        text = str(error)
        if len(text.splitlines()) != 1 or len(text) > 700 + 3 * len(str(folder)):
            return f"no sentence: {text[:200]!r}"
    except Hanging:
        return f"more than {SECONDS} s"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    after = {path for path in folder.parent.rglob("*") if folder not in path.parents}
    return f"wrote {sorted(after - before)[:2]}" if after != before else ""


def too_long(number: int, frame: FrameType | None) -> None:
    """End a case that hangs."""
    raise Hanging


def main() -> int:
    """Try the cases and print how many are right, by kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["A2A_QUIET"] = "1"
    signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    rng, right, wrong = random.Random(options.seed), Counter(), Counter()
    with tempfile.TemporaryDirectory() as place:
        sound, cases = Path(place, "sound"), Path(place, "cases")
        sound.mkdir()
        os.chdir(sound)
        made = Strangers(sound).cases(rng)
        for number in range(options.cases):
            case, folder = next(made), cases / "case"
            folder.mkdir(parents=True)
            fault = verdict(case, folder)
            (wrong if fault else right)[case.kind] += 1
            if fault:
                print(f"case {number}, {case.kind}: {fault}".encode(errors="replace").decode(), flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    for kind in sorted(right | wrong):
        print(f"{kind:24} {right[kind]:5} right {wrong[kind]:4} wrong")
    total = right.total() + wrong.total()
    print(f"{right.total()} of {total} right ({right.total() / total:.2%}); peak memory {peak():.2f} GiB")
    return int(bool(wrong))


def peak() -> float:
    """Largest memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sys.exit(main())
