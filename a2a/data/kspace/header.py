"""What the header of an ISMRMRD file, which fastMRI files carry too, says of the encoding; and optional packages.

Explained in the chapter "Your own NIfTI files".

References
----------
Inati et al., ISMRM raw data format, Magn. Reson. Med. 77 (2017).
"""

from dataclasses import dataclass
from types import ModuleType
from xml.etree import ElementTree

from a2a.common.documents import MEBIBYTE, size
from a2a.common.errors import InputError
from a2a.common.escaping import shown

EXTRA = "pip install -e '.[kspace]'"
_NAMESPACE = {"m": "http://www.ismrm.org/ISMRMRD"}


@dataclass(frozen=True)
class Encoding:
    """What an ISMRMRD header says of the encoding.

    Parameters
    ----------
    matrix
        Samples along readout, phase encoding and slice.
    field_of_view_mm
        Along the same.
    trajectory
        ``"cartesian"`` is the one that can be used.
    centre
        Number of the phase-encode step through zero frequency.
    calibration
        How lines for the calibration of parallel imaging were acquired: ``"embedded"`` and ``"interleaved"`` ones
        belong to the image, others do not.
    """

    matrix: tuple[int, int, int]
    field_of_view_mm: tuple[float, float, float]
    trajectory: str
    centre: int
    calibration: str = "embedded"

    @classmethod
    def parse(cls, xml: bytes | str) -> "Encoding":
        """Read the header's XML.

        Raises
        ------
        InputError
            If it is no ISMRMRD header, or describes several encodings.
        """
        if len(xml) > MEBIBYTE:
            raise InputError(f"its ISMRMRD header has {size(len(xml))}; at most 1 MiB is read.")
        try:
            encodings = ElementTree.fromstring(xml).findall("m:encoding", _NAMESPACE)
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise InputError(f"its ISMRMRD header is no XML ({error}).") from error
        if len(encodings) != 1:
            raise InputError(f"its ISMRMRD header describes {len(encodings)} encodings; one can be read.")

        def text(path: str, default: str | None = None) -> str:
            found = encodings[0].findtext("/".join(f"m:{step}" for step in path.split("/")), default, _NAMESPACE)
            if found is None:
                raise InputError(f"its ISMRMRD header lacks encoding/{path}.")
            return found

        try:
            matrix = tuple(_side(text(f"encodedSpace/matrixSize/{axis}")) for axis in "xyz")
            field = tuple(float(text(f"encodedSpace/fieldOfView_mm/{axis}")) for axis in "xyz")
            centre = int(text("encodingLimits/kspace_encoding_step_1/center", str(matrix[1] // 2)))
        except ValueError as error:
            raise error if isinstance(error, InputError) else InputError(f"its ISMRMRD header: {error}.") from None
        mode = text("parallelImaging/calibrationMode", "embedded").strip()
        return cls(matrix, field, text("trajectory", "cartesian").strip(), centre, mode)


def _side(text: str) -> int:
    if not 1 <= (side := int(text)) <= 16384:
        raise ValueError(f"a matrix size of {shown(text, 40)}")
    return side


def needs(module: str) -> ModuleType:
    """Import an optional package that reads k-space.

    Raises
    ------
    InputError
        If it is not installed; says how to install it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(f"reading it needs the package {module}, which is not installed: {EXTRA}.") from error
