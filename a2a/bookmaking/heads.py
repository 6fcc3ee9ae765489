"""Pictures of completed real heads: ``python -m a2a.bookmaking.heads``.

Scans stay where ``a2a data fetch open-ms`` put them; the book ships the pictures alone, with a caption that names the
data, their licence, what was changed and whom to cite. Shown in the chapter "Your own NIfTI files".
"""

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from a2a.common import provenance
from a2a.common.errors import InputError
from a2a.common.files import write_atomically, write_json
from a2a.common.outputs import check_file
from a2a.common.paths import repository
from a2a.common.rng import spawn
from a2a.data.cards.card import DataCard, load_card
from a2a.data.prepare.nifti_subjects import NiftiSubjects
from a2a.data.volumes.nifti import read_volume, to_ras
from a2a.data.volumes.normalisation import Normalisation, statistic
from a2a.forward.undersampling import Undersampling
from a2a.methods.interface import Any2all
from a2a.methods.quality import rows_at_once
from a2a.methods.references.reconstruction import LAMBDAS, tikhonov_sense, tune_lambda
from a2a.patient.read import read_patient
from a2a.prior.prior import Prior

SCENARIOS = {"measured": "T1 + y(FLAIR)", "missing": "T1 + T1POST + T2"}
TARGET, LESIONS = "FLAIR", "lesions"
MOST_BYTES = 3 * 2**18  # of a picture, so that two are below 1.5 MiB
THIN = 3  # planes, of which one that is interpolated may reach its neighbours
SPREAD = 0.15  # deviation that is drawn white
_ZOOM_MM, _QUALITY = 56, 86


@dataclass(frozen=True, eq=False)
class Head:
    """A subject's files and what is measured on them.

    Parameters
    ----------
    name
        Of the subject.
    files
        One image for each modality.
    truth
        The target on the RAS grid, image units of the prior, `(X, Y, Z)`.
    lesions
        Where they are, bool `(X, Y, Z)`.
    scale
        Of the target.
    """

    name: str
    files: Mapping[str, Path]
    truth: np.ndarray
    lesions: np.ndarray
    scale: Normalisation

    @classmethod
    def find(cls, card: DataCard, root: Path, name: str, prior: Prior) -> "Head":
        """Find the files of a subject below a fetched folder, and read what is true.

        Parameters
        ----------
        card
            Of the data.
        root
            The folder.
        name
            Of the subject.
        prior
            Its card says how images are scaled.

        Raises
        ------
        InputError
            If the subject or one of its files is not there.
        """
        found = NiftiSubjects.find(card, root, prior.size)
        if name not in found.scans:
            raise InputError(f"--subject {name}: it is not in {found.folder}; there are {', '.join(found.scans)}.")
        scan, layout = found.scans[name], found.layout
        files = {m.name: scan.one("image", m.name, layout, root) for m in card.modalities}
        data = to_ras(read_volume(files[TARGET])).data
        scale = Normalisation.fit(prior.spec[TARGET], data, *statistic(prior.card["data"]["preprocessing"], TARGET))
        lesions = to_ras(read_volume(scan.one("label", LESIONS, layout, root))).data > 0
        return cls(name, files, scale.forward(data), lesions, scale)


def completed(
    head: Head, given: str, prior: Prior, steps: int, samples: int, planes: tuple[int, int] | None = None
) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """Complete a head as `a2a complete` does.

    Parameters
    ----------
    head
        The head.
    given
        The scenario.
    prior
        Of any grid; its scale of the target is that of the truth where it is not given.
    steps, samples
        See `a2a.samplers.mds.mds`.
    planes
        First and last plane; None for all that the prior's card takes.

    Returns
    -------
    tuple
        Volumes `(X, Y, Z)` in image units: ``T1`` as given, ``SENSE`` (the target without a prior, where its k-space
        is given, with the weight that is best for this head), ``sample``, ``mean`` and ``deviation`` of the samples;
        and the first and last plane.
    """
    target = prior.spec.index(TARGET)
    files = {
        name: path for name, path in head.files.items() if name in given.replace("y(", " ").replace(")", " ").split()
    }
    method = Any2all(
        prior, "mds", {"steps": steps, "rho": 0.9, "noise_levels": prior.noise_levels}, rows_at_once(prior.size)
    )
    taken = read_patient(given, files, method, Undersampling(acceleration=4))
    taken = taken if planes is None else taken.between(*planes)
    rows = taken.observation.shape[0]
    done = method.complete(taken.observation, samples, spawn(0, rows, samples))
    scale, place = taken.scales.get(prior.spec.names[target]), taken.geometry
    if scale is None:
        how = prior.card["data"]["preprocessing"]
        scale = Normalisation.fit(
            prior.spec[TARGET], head.scale.inverse(head.truth), *statistic(how, prior.spec.names[target])
        )
    images = {
        "T1": taken.observation.adjoint[:, prior.spec.index("T1")],
        "sample": done.samples[0, :, target],
        "mean": done.mean[:, target],
        "deviation": done.std[:, target],
    }
    if taken.observation.kinds[target] == "measured":
        truth = torch.zeros(rows, len(prior.spec), prior.size, prior.size)
        truth[:, target] = torch.from_numpy(place.to_slices(head.truth))
        weight = tune_lambda(taken.observation, truth, LAMBDAS[::4])
        images["SENSE"] = tikhonov_sense(taken.observation, weight)[:, target]
    volumes = {name: place.to_volume(image.numpy()) for name, image in images.items()}
    for name in ("sample", "mean"):
        volumes[name] = head.scale.forward(scale.inverse(volumes[name]))
    return volumes, (place.planes[0], place.planes[-1])


def views(head: Head) -> dict[str, tuple[slice | int, ...]]:
    """Where the three pictures of each column are cut: through most lesions, and closer around them."""
    z, x = (int(head.lesions.sum(axis=axes).argmax()) for axes in ((0, 1), (1, 2)))
    around = np.argwhere(head.lesions[:, :, z]).mean(axis=0).round().astype(int)
    near = tuple(slice(max(c - _ZOOM_MM // 2, 0), c + _ZOOM_MM // 2) for c in around)
    return {"axial": (slice(None), slice(None), z), "sagittal": (x, slice(None), slice(None)), "lesions": (*near, z)}


def picture(head: Head, columns: Mapping[str, np.ndarray]) -> bytes:
    """Draw volumes side by side, a row for each view, as a WebP file; the last column is a deviation.

    Where a volume was computed in one plane alone, there is no sagittal view of it.

    Parameters
    ----------
    head
        Says where to look.
    columns
        RAS data ``(X, Y, Z)`` in image units, by what is written above.

    Raises
    ------
    InputError
        If the file is larger than a picture of the book may be.
    """
    cuts, last = views(head), list(columns)[-1]
    figure = Figure(figsize=(1.9 * len(columns), 1.95 * len(cuts)), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    cells = figure.subplots(len(cuts), len(columns), squeeze=False)
    inside = np.argwhere(head.truth > 0)
    box = tuple(slice(low, high + 1) for low, high in zip(inside.min(axis=0), inside.max(axis=0), strict=True))
    for line, (view, cut) in zip(cells, cuts.items(), strict=True):
        where = tuple(box[i] if part == slice(None) else part for i, part in enumerate(cut))
        for cell, (name, volume) in zip(line, columns.items(), strict=True):
            image = volume[where]
            image = image if view == "sagittal" else image[::-1]  # the patient's right first
            look = {"cmap": "magma", "vmax": SPREAD} if name is last else {"cmap": "gray", "vmax": 1.0}
            cell.imshow(image.T[::-1], vmin=0.0, **look)
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_visible(view != "sagittal" or int((volume > 0).any(axis=(0, 1)).sum()) > THIN)
            if view == "axial":
                cell.set_title(name, fontsize=8)
        line[0].set_ylabel(view, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    packed = io.BytesIO()
    Image.open(buffer).convert("RGB").save(packed, format="webp", quality=_QUALITY, method=6)
    if packed.tell() > MOST_BYTES:
        raise InputError(
            f"The picture has {packed.tell() // 2**10} KiB; the book takes {MOST_BYTES // 2**10} KiB at most."
        )
    return packed.getvalue()


def columns_of(
    head: Head, given: str, prior: Prior, coarse: Prior | None, options: argparse.Namespace
) -> dict[str, np.ndarray]:
    """Complete a head in one scenario: what `picture` draws.

    Parameters
    ----------
    head, given, prior
        See `completed`.
    coarse
        A prior of a coarser grid, or None.
    options
        Of the command.
    """
    most = int(head.lesions.sum(axis=(0, 1)).argmax())
    found, planes = completed(head, given, prior, options.steps, 1, options.planes)
    several = completed(head, given, prior, options.steps, options.samples, (most, most))[0]
    columns = {"T1, given": found["T1"]}
    if "SENSE" in found:
        columns["FLAIR by SENSE"] = found["SENSE"]
    if coarse is not None:
        there = completed(head, given, coarse, options.steps, 1, planes)[0]["sample"]
        columns[f"completed at {coarse.size} x {coarse.size}"] = there
    return columns | {
        "completed, one sample": found["sample"],
        f"mean of {options.samples} samples": several["mean"],
        "truth": _within(head.truth, planes),
        f"deviation of {options.samples}": several["deviation"],
    }


def caption(card: DataCard, head: Head, said: str) -> str:
    """Return what must stand below a picture: whose data, under which licence, what was changed, whom to cite.

    Parameters
    ----------
    card, head
        The data, and the subject.
    said
        What is shown.
    """
    changed = "scaled, cut to planes, FLAIR undersampled or taken away and completed"
    return f"{said} {card.title}, {head.name}, {card.licence.name}; changed: {changed}. {' '.join(card.citation)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Complete a head in both scenarios and write two pictures and what made them."""
    parser = argparse.ArgumentParser(prog="python -m a2a.bookmaking.heads", description="Draw completed real heads.")
    parser.add_argument("--root", type=Path, required=True, help="folder that a2a data fetch open-ms filled")
    parser.add_argument("--prior", type=Path, required=True, help="weights that did not learn from the subject")
    parser.add_argument("--coarse", type=Path, help="weights of a coarser grid, drawn beside them")
    parser.add_argument("--card", default="open-ms", help="data card")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this, in place of both")
    parser.add_argument("--subject", default="patient26")
    parser.add_argument("--steps", type=int, default=10, help="network evaluations of MDS")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--planes", type=int, nargs=2, metavar=("FIRST", "LAST"), help="only these, to try it out")
    parser.add_argument("--bf16", action="store_true", help="evaluate the network in bf16")
    parser.add_argument("--out", type=Path, default=Path("book", "_static"), help="folder of the pictures")
    options = parser.parse_args(arguments)
    names = {scenario: options.out / f"heads-{scenario}.webp" for scenario in options.scenario or SCENARIOS}
    for path in names.values():
        check_file(path)
        check_file(path.with_suffix(".json"))
    card, prior = load_card(options.card), replace(Prior.load(options.prior), bf16=options.bf16)
    coarse = Prior.load(options.coarse) if options.coarse else None
    head = Head.find(card, options.root, options.subject, prior)
    for scenario, path in names.items():
        given = SCENARIOS[scenario]
        columns = columns_of(head, given, prior, coarse, options)
        drawn = picture(head, columns)
        write_atomically(path, lambda place, drawn=drawn: place.write_bytes(drawn))
        said = f"FLAIR of a head that the prior has not seen, completed from {given}; deviation white from {SPREAD} on."
        record = {
            "caption": caption(card, head, said),
            "prior": {"file": options.prior.name, "sha256": prior.digest, "bf16": prior.bf16},
            "coarse": coarse and {"file": options.coarse.name, "sha256": coarse.digest},
            **{name: getattr(options, name) for name in ("card", "subject", "steps", "samples", "planes")},
            "commit": provenance.commit(repository()),
            "machine": provenance.machine(),
        }
        write_json(path.with_suffix(".json"), record)
        print(f"{path}: {len(drawn) // 2**10} KiB")


def _within(volume: np.ndarray, planes: tuple[int, int]) -> np.ndarray:
    """The planes that were computed, 0 elsewhere."""
    found = np.zeros_like(volume)
    found[:, :, planes[0] : planes[1] + 1] = volume[:, :, planes[0] : planes[1] + 1]
    return found


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(f"heads: {error}", file=sys.stderr)
        sys.exit(2)
