"""k-space in HDF5: files as fastMRI distributes them, and the way to those of ISMRMRD.

A fastMRI file holds one volume: ``kspace`` complex ``(slices, coils, readout, phase encoding)``, the readout
oversampled and both axes centred (zero frequency at ``n // 2``); ``ismrmrd_header``, XML with matrix and field of view
of the encoding; and, where not all lines were sampled, ``mask`` ``(phase encoding,)``. It says neither where nor how
the patient lay. Three fields may be added: ``maps`` and ``range`` as in `a2a.data.kspace.npz`, and ``noise_std`` in
units of the data. Explained in the chapter "Your own NIfTI files".

References
----------
Zbontar et al., fastMRI: an open dataset and benchmarks for accelerated MRI (2018).
"""

from pathlib import Path
from types import ModuleType

import numpy as np

from a2a.common.documents import size
from a2a.common.errors import InputError
from a2a.common.escaping import shown
from a2a.data.kspace.arrays import LARGEST
from a2a.data.kspace.grid import ScannerKSpace
from a2a.data.kspace.header import Encoding, needs
from a2a.data.kspace.ismrmrd import ISMRMRD, read_ismrmrd
from a2a.data.kspace.npz import RANGE, scale_of

FASTMRI = ("kspace", "ismrmrd_header")
OPTIONAL = ("mask", "maps", "noise_std", RANGE)
DEEPEST, MOST, PACKED = 8, 10_000, 1100
"""Groups in each other, fields of a file, and how much more than it takes a compressed field may hold."""


def read_hdf5(path: Path) -> ScannerKSpace:
    """Read a file of fastMRI or ISMRMRD; what it is, is seen from its contents.

    Raises
    ------
    InputError
        If it is neither, or damaged, or the package that reads it is not installed. The sentence lacks the file's
        name, which the caller adds.
    """
    h5py = needs("h5py")
    try:
        with h5py.File(path, "r") as file:
            _require_own_data(h5py, file)
            if "kspace" in file:
                return _fastmri(h5py, file)
            is_ismrmrd = isinstance(file.get(ISMRMRD), h5py.Group) and "data" in file[ISMRMRD]
            known = ", ".join(file) or "nothing"
        if not is_ismrmrd:
            wanted = f"fastMRI ({', '.join(FASTMRI)}) or ISMRMRD ({ISMRMRD}/data)"
            raise InputError(f"it holds {known}; k-space is read from HDF5 of {wanted}.")
        return read_ismrmrd(path)
    except InputError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, BlockingIOError) or "unable to lock" in str(error):
            raise InputError("another program has it open and locked; close it there, or read a copy.") from error
        raise InputError(f"damaged or no HDF5 file ({shown(str(error))}).") from error


def _require_own_data(h5py: ModuleType, file: object) -> None:
    """Refuse links, also to other places of the file, data that lie in other files, and data that are not there.

    The owner of this file need not know what is in others. Every group is looked through, for a group may be a way
    around a rule for names; what a dataset describes may take 2 GiB, and no more than compression can hide.
    """
    groups, seen = [("", file)], 0
    while groups:
        place, group = groups.pop()
        for key in group:
            name, seen = f"{place}{key}", seen + 1
            if seen > MOST:
                raise InputError(f"it holds more than {MOST} fields.")
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise InputError(f"{shown(name, 60)} is a link to another file; put the data themselves there.")
            found = group[key]
            if isinstance(found, h5py.Group):
                if place.count("/") >= DEEPEST:
                    raise InputError(f"{shown(name, 60)} is nested deeper than {DEEPEST} groups.")
                groups.append((f"{name}/", found))
            elif isinstance(found, h5py.Dataset):
                _require_modest(found, shown(name, 60))


def _require_modest(dataset: object, name: str) -> None:
    """Refuse a dataset that lies in another file, or describes more than it can hold."""
    if dataset.is_virtual or dataset.external:
        raise InputError(f"{name} lies in another file; put the data themselves there.")
    if dataset.shape is None:
        raise InputError(f"{name} holds nothing.")
    wanted, held = dataset.nbytes, dataset.id.get_storage_size()
    if wanted > LARGEST:
        raise InputError(f"{name} says it has {size(wanted)}; at most {size(LARGEST)} are read.")
    if wanted > PACKED * max(held, 4096):
        raise InputError(f"{name} says it has {size(wanted)}, but its file holds {size(held)} of it; it is damaged.")


def _fastmri(h5py: ModuleType, file: object) -> ScannerKSpace:
    """Take the fields out of an open file."""
    if lacking := [name for name in FASTMRI if not isinstance(file.get(name), h5py.Dataset)]:
        raise InputError(f"it lacks {', '.join(lacking)}; a fastMRI file has {', '.join(FASTMRI)}.")
    numbers = [name for name in ("kspace", *OPTIONAL) if name in file]
    if odd := [name for name in numbers if not hasattr(file[name], "dtype") or file[name].dtype.kind not in "biufc"]:
        raise InputError(f"{odd[0]} must hold numbers.")
    header = file["ismrmrd_header"][()]
    if not isinstance(header, (bytes, str)):
        raise InputError("ismrmrd_header must be one text of XML.")
    encoding = Encoding.parse(header)
    if encoding.trajectory != "cartesian":
        raise InputError(f"its trajectory is {encoding.trajectory}; only cartesian k-space can be read.")
    data = file["kspace"][()]
    mask = np.asarray(file["mask"][()]) if "mask" in file else np.ones(data.shape[-1:], dtype=bool)
    if not np.isin(mask, (0, 1)).all():
        raise InputError("mask must hold only 0 and 1 (or false and true).")
    if data.ndim == 4 and data.shape[2:] != encoding.matrix[:2]:
        raise InputError(f"kspace is {data.shape[2:]}, but its header says {encoding.matrix[:2]} (readout, phase).")
    more = {name: np.asarray(file[name][()]) for name in OPTIONAL if name in file}
    if "noise_std" in more and (more["noise_std"].size != 1 or more["noise_std"].dtype.kind not in "iuf"):
        raise InputError("noise_std must be one real number.")
    lines = mask.astype(bool)
    fits = np.iscomplexobj(data) and lines.shape == data.shape[-1:]  # else what is wrong is said below
    return ScannerKSpace(
        np.where(lines, data, 0).astype(np.complex64) if fits else data,
        lines,
        encoding.field_of_view_mm[:2],
        noise_std=float(more["noise_std"].item()) if "noise_std" in more else None,
        maps=more.get("maps"),
        scale=scale_of(more.get(RANGE)),
    )
