"""Phantom subjects as NIfTI files, for any program that reads them.

A folder with ``phantom.json`` (what was generated, and what the label values mean) and one folder per subject with an
image per modality, ``tissue`` (class with the largest fraction), ``lesion``, ``brain`` (mask) and ``subject.json`` (the
numbers behind the subject). All are float32 in RAS order, in millimetres. Explained in the chapter "The synthetic data
set".
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from a2a.common.children import worker_processes
from a2a.common.documents import stated_format
from a2a.common.errors import InputError
from a2a.common.files import write_json
from a2a.common.outputs import OutputFolder
from a2a.common.progress import progress
from a2a.data.phantom.config import PHANTOM_VERSION, PhantomConfig
from a2a.data.phantom.subject import Subject, generate_subject
from a2a.data.phantom.tissue import INDEX
from a2a.data.volumes.nifti import Volume, to_ras, write_volume

FORMAT = "a2a phantom volumes 1"
MANIFEST = "phantom.json"


def write_volumes(
    config: PhantomConfig, subjects: Sequence[int], out: Path | str, overwrite: bool = False, workers: int = 1
) -> list[Path]:
    """Generate subjects and write their volumes; the folder appears complete or not at all.

    Parameters
    ----------
    config
        What to generate.
    subjects
        Their numbers.
    out
        The folder.
    overwrite
        Replace volumes that were written earlier.
    workers
        Processes that share the subjects; the bytes do not depend on it.

    Returns
    -------
    list of pathlib.Path
        The subjects' folders.

    Raises
    ------
    InputError
        If there are no subjects, one is negative or named twice, there is no worker, or `out` cannot be used (see
        `a2a.common.outputs.OutputFolder`).
    Failure
        If another process writes `out`, or there is no room.
    """
    out = Path(out)
    if not subjects or len(set(subjects)) != len(subjects) or min(subjects) < 0:
        found = ", ".join(map(str, subjects)) or "none"
        raise InputError(f"The subjects must be different numbers from 0 up, not {found}.")
    if workers < 1:
        raise InputError(f"There must be at least 1 worker, not {workers}.")
    room = len(subjects) * (len(config.names) + 3) * 4 * math.prod(config.grid.shape)  # before they are packed
    with OutputFolder(out, "phantom volumes", _are_volumes, overwrite).make(room) as folder:
        work = partial(_write_one, config, folder)
        if workers == 1 or len(subjects) == 1:
            names = list(progress(map(work, subjects), "generating", len(subjects)))
        else:
            with worker_processes(min(workers, len(subjects))) as pool:
                names = list(progress(pool.map(work, subjects), "generating", len(subjects)))
        about = {
            "format": FORMAT,
            "phantom_version": PHANTOM_VERSION,
            "config": config.model_dump(mode="json"),
            "subjects": names,
            "tissue": {str(i): name for name, i in INDEX.items()},
            "lesion": {str(i): name for name, i in config.kind.lesions.items()},
        }
        write_json(folder / MANIFEST, about)
    return [out / name for name in names]


def _write_one(config: PhantomConfig, folder: Path, subject_id: int) -> str:
    """Generate and write one subject; return the name of its folder."""
    subject = generate_subject(config, subject_id)
    name = f"subject-{subject_id:04d}"
    for file, data in _volumes(subject).items():
        volume = to_ras(Volume(np.asarray(data, np.float32), subject.affine))
        write_volume(folder / name / f"{file}.nii.gz", volume.data, volume.affine)
    write_json(folder / name / "subject.json", {"subject": subject_id, "latents": subject.latents})
    return name


def _volumes(subject: Subject) -> dict[str, np.ndarray]:
    return subject.images | {"tissue": subject.labels, "lesion": subject.lesion, "brain": subject.brain_mask}


def _are_volumes(folder: Path) -> bool:
    return stated_format(folder / MANIFEST) == FORMAT
