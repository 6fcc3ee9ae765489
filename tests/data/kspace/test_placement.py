"""Scanner k-space on the grid of given images, against a scan in millimetres that knows nothing of the package.

The head is made of ellipses, so its Fourier transform is known in closed form at any frequency, and its image at any
pixel by summing fine points. Patient coordinates here are L, P, S in mm, as an ISMRMRD header has them.
"""

import fcntl
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import j1

from a2a.common.errors import InputError
from a2a.data.kspace.file import read_kspace
from a2a.data.kspace.frame import Grid
from a2a.data.kspace.npz import KSpaceFile, write_kspace
from a2a.data.volumes.nifti import Volume
from a2a.data.volumes.slices import SliceGeometry
from a2a.forward.measured import AnyKSpace, KSpace, KSpaceLines, KSpacePlane

ismrmrd = pytest.importorskip("ismrmrd", reason="the extra [kspace] is not installed")
h5py = pytest.importorskip("h5py", reason="the extra [kspace] is not installed")

# centre (L, P), half axes (L, P), value; no mirror symmetry
ELLIPSES = [((0, 0), (68, 84), 0.5), ((24, -34), (13, 13), 0.35), ((-21, 16), (16, 21), -0.25), ((30, 40), (9, 7), 0.3)]
COILS = 4
WINDOW = 224.0
XML = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><encodedSpace><matrixSize>
<x>{x}</x><y>{y}</y><z>1</z></matrixSize><fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>4</z></fieldOfView_mm></encodedSpace>
<encodingLimits><kspace_encoding_step_1><center>{centre}</center></kspace_encoding_step_1></encodingLimits>
<trajectory>cartesian</trajectory>{more}</encoding></ismrmrdHeader>"""


def sensitivities() -> np.ndarray:
    """Complex exponentials of long waves, one of each coil: cycles per mm (L, P) and a complex weight, smooth, never 0.

    A product of a wave and an ellipse has a Fourier transform in closed form too.
    """
    rng = np.random.default_rng(4)
    return [[(rng.uniform(-1, 1, 2) / 500, rng.normal() + 1j * rng.normal()) for _ in range(2)] for _ in range(COILS)]


WAVES = sensitivities()


def size_at(z: float) -> float:
    return 1 - 0.003 * z


def head_at(k: np.ndarray, z: float) -> np.ndarray:
    """Fourier transform of the head at frequencies ``(..., 2)`` in cycles per mm."""
    total = np.zeros(k.shape[:-1], complex)
    for centre, axes, value in ELLIPSES:
        centre, axes = np.array(centre) * size_at(z), np.array(axes) * size_at(z)
        radius = 2 * np.pi * np.hypot(k[..., 0] * axes[0], k[..., 1] * axes[1])
        jinc = np.where(radius > 1e-9, 2 * j1(radius) / np.where(radius > 1e-9, radius, 1), 1.0)
        total += value * np.pi * axes[0] * axes[1] * jinc * np.exp(-2j * np.pi * (k @ centre))
    return total


def coil(c: int, place: np.ndarray) -> np.ndarray:
    """Sensitivity of a coil at (L, P) mm, ``(..., 2)``."""
    return sum(weight * np.exp(2j * np.pi * (place @ wave)) for wave, weight in WAVES[c])


def signal(scan: "Scan", z: float) -> np.ndarray:
    """What the coils receive, ``(coils, X, Y)``: sample i at (i - n // 2) / fov along a direction, zero at `centre`."""
    read, phase, centre = np.array(scan.read[:2], float), np.array(scan.phase[:2], float), np.array(scan.centre)
    kx, ky = ((np.arange(n) - n // 2) / f for n, f in zip(scan.matrix, scan.fov, strict=True))
    ky = ky[scan.lines()]
    k = kx[:, None, None] * read + ky[None, :, None] * phase
    received = [sum(weight * head_at(k - wave, z) for wave, weight in WAVES[c]) for c in range(COILS)]
    data = np.zeros((COILS, *scan.matrix), complex)
    data[:, :, scan.lines()] = np.stack(received) * np.exp(2j * np.pi * (k @ centre))
    return data


@dataclass(frozen=True)
class Scan:
    """A protocol: readout and phase encoding (L, P, S), matrix, field of view, its middle (L, P) and its slices."""

    read: tuple = (1, 0, 0)
    phase: tuple = (0, 1, 0)
    up: tuple = (0, 0, 1)
    matrix: tuple = (256, 128)
    fov: tuple = (448.0, 224.0)
    centre: tuple = (0.0, 0.0)
    places: tuple = (0.0,)
    every: int = 2

    def lines(self) -> np.ndarray:
        y = self.matrix[1]
        lines = np.zeros(y, bool)
        lines[(y // 2) % self.every :: self.every] = True
        lines[y // 2 - 12 : y // 2 + 12] = True
        return lines

    def slices(self) -> list[np.ndarray]:
        return [signal(self, z) for z in self.places]


NOISE = 3.0


def written(
    path: Path,
    scan: Scan,
    *,
    change=None,
    more: str = "",
    directions: Scan | None = None,
    header_centre=None,
    noise_scan=NOISE,
) -> Path:
    """Write the scan as a converter does, line by line, with noise; `change` sees each acquisition.

    `directions` and `header_centre` are what the header says, where that is not what the scan did.
    """
    path.unlink(missing_ok=True)
    said = directions or scan
    x, y = scan.matrix
    rng = np.random.default_rng(0)

    def noisy(shape: tuple, std: float = NOISE) -> np.ndarray:
        return std * (rng.normal(size=shape) + 1j * rng.normal(size=shape))

    dataset = ismrmrd.Dataset(str(path), "dataset")
    dataset.write_xml_header(XML.format(x=x, y=y, fx=scan.fov[0], fy=scan.fov[1], centre=y // 2, more=more).encode())
    noise = ismrmrd.Acquisition.from_array(noisy((COILS, 4096), noise_scan).astype(np.complex64))
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    dataset.append_acquisition(noise)
    place = scan.centre if header_centre is None else header_centre
    for number, data in enumerate(scan.slices()):
        for line in np.flatnonzero(scan.lines()):
            values = (data[:, :, line] + noisy((COILS, x))).astype(np.complex64)
            acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(values))
            acquisition.idx.slice, acquisition.idx.kspace_encode_step_1 = number, int(line)
            acquisition.center_sample = x // 2
            acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = said.read, said.phase, said.up
            acquisition.position[:] = (*place, scan.places[number])
            for each in [acquisition] if change is None else change(acquisition, number, int(line)):
                dataset.append_acquisition(each)
    dataset.close()
    return path


def head_image(size: int, pixel: float, middle: tuple, z: float) -> np.ndarray:
    """Mean of the head over each pixel, rows towards P, columns towards L; the grid's middle at (L, P) mm."""
    fine = 8
    i = (np.arange(size * fine) + 0.5) / fine * pixel - size * pixel / 2
    p, left = np.meshgrid(i + middle[1], i + middle[0], indexing="ij")
    image = np.zeros_like(p)
    for centre, axes, value in ELLIPSES:
        c, a = np.array(centre) * size_at(z), np.array(axes) * size_at(z)
        image += value * (((left - c[0]) / a[0]) ** 2 + ((p - c[1]) / a[1]) ** 2 < 1)
    return image.reshape(size, fine, size, fine).mean(axis=(1, 3))


def grid_of(size: int, middle: tuple = (0.0, 0.0), planes: int = 1) -> Grid:
    """The grid of an image of 224 x 224 voxels of 1 mm whose middle lies at (L, P) mm, planes 4 mm apart from S0 on."""
    edge = -111.5
    affine = np.array([[1, 0, 0, edge - middle[0]], [0, 1, 0, edge - middle[1]], [0, 0, 4.0, 0], [0, 0, 0, 1]])
    geometry = SliceGeometry.fit([Volume(np.ones((224, 224, planes), np.float32), affine)], size, WINDOW, 0.0)
    return Grid(planes, size, WINDOW, 99.5, geometry.pixel_affine, geometry.planes, geometry.middle_mm)


def true_maps(size: int, middle: tuple = (0.0, 0.0)) -> np.ndarray:
    i = (np.arange(size) + 0.5) * WINDOW / size - WINDOW / 2
    p, left = np.meshgrid(i + middle[1], i + middle[0], indexing="ij")
    return np.stack([coil(c, np.stack([left, p], axis=-1)) for c in range(COILS)]).astype(np.complex64)


def reconstructed(kspace: AnyKSpace) -> np.ndarray:
    """Damped least squares."""
    operator, data = kspace.measurement("T1")
    b = operator.adjoint(data)
    trace = float(torch.as_tensor(operator.trace(*b.shape[1:])).mean()) / b[0].numel()
    return operator.prox(torch.zeros_like(b), b, 0.02 * trace).numpy()


def displacement(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """By how many pixels (rows, columns) an image lies beside the truth: the phase of their low frequencies."""
    n = len(truth)
    cross = np.fft.fft2(image) * np.fft.fft2(truth).conj()
    k = np.fft.fftfreq(n)
    low = np.abs(k) * n <= 6
    k0, k1 = np.meshgrid(k[low], k[low], indexing="ij")
    weight, angle = np.abs(cross[np.ix_(low, low)]), np.angle(cross[np.ix_(low, low)])
    system = np.stack([-2 * np.pi * k0.ravel(), -2 * np.pi * k1.ravel()], axis=1) * weight.ravel()[:, None]
    return np.linalg.lstsq(system, angle.ravel() * weight.ravel(), rcond=None)[0]


def shown(path: Path, size: int, middle: tuple = (0.0, 0.0), places: tuple = (0.0,), **more):
    """Displacement in pixels and signal-to-error of the least-squares image, against the head on the grid."""
    content = read_kspace(path, "T1", grid_of(size, middle, len(places)), **more)
    images = reconstructed(content.kspace)
    truths = np.stack([head_image(size, WINDOW / size, middle, z) for z in places])
    scale = (images * truths).sum() / (images**2).sum()
    away = np.max([np.abs(displacement(i, t)) for i, t in zip(images, truths, strict=True)])
    return away, 10 * np.log10(truths.max() ** 2 / np.mean((scale * images - truths) ** 2)), content


PROTOCOLS = {
    "readout to the left": Scan(),
    "readout to the back": Scan(read=(0, 1, 0), phase=(1, 0, 0)),
    "reversed": Scan(read=(-1, 0, 0), phase=(0, -1, 0)),
    "downwards": Scan(read=(0, -1, 0), phase=(1, 0, 0), up=(0, 0, -1)),
    "middle elsewhere": Scan(centre=(15.0, -10.0)),
    "middle elsewhere, readout to the front": Scan(read=(0, -1, 0), phase=(-1, 0, 0), centre=(-7.3, 12.1)),
    "256 x 200 mm, 10 mm off": Scan(matrix=(256, 160), fov=(256.0, 200.0), centre=(10.0, 0.0)),
    "200 x 256 mm, 10 mm off": Scan(matrix=(200, 192), fov=(200.0, 256.0), centre=(0.0, 10.0)),
    "phase encoding over columns, 260 mm": Scan((0, 1, 0), (1, 0, 0), matrix=(300, 150), fov=(300.0, 260.0)),
    "odd matrix": Scan(matrix=(257, 129)),
    "odd matrix, other field": Scan(matrix=(255, 151), fov=(251.0, 247.0), centre=(3.3, -4.4)),
    "all lines": Scan(every=1, fov=(448.0, 240.0), matrix=(256, 144)),
    "slices in another order": Scan(places=(4.0, 0.0)),
    "more slices than planes": Scan(places=(-4.0, 0.0, 4.0, 8.0, 12.0)),
}


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    np.save(tmp_path / "maps.npy", true_maps(64))
    return tmp_path / "maps.npy"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_scan_lies_on_the_head_whatever_its_protocol(tmp_path, maps, protocol):
    scan = PROTOCOLS[protocol]
    places = (0.0, 4.0) if len(scan.places) > 1 else (0.0,)
    away, quality, _ = shown(written(tmp_path / "scan.h5", scan), 64, places=places, maps=maps)
    assert away < 0.08 and quality > 30


@pytest.mark.parametrize(("size", "middle"), [(48, (0.0, 0.0)), (65, (-6.0, 3.0)), (96, (4.5, 8.0))])
def test_and_on_every_grid(tmp_path, size, middle):
    np.save(tmp_path / "maps.npy", true_maps(size, middle))
    scan = Scan(matrix=(260, 132), fov=(440.0, 230.0), centre=(5.0, -9.0))
    away, quality, content = shown(written(tmp_path / "scan.h5", scan), size, middle, maps=tmp_path / "maps.npy")
    assert away < 0.08 and quality > 29 and isinstance(content.kspace, KSpaceLines)


@pytest.mark.parametrize("protocol", ["middle elsewhere", "256 x 200 mm, 10 mm off", "odd matrix, other field"])
def test_with_estimated_maps_too(tmp_path, protocol):
    """ESPIRiT scales maps so that their squares sum to one: the image is the head times the coils' sum of squares."""
    content = read_kspace(written(tmp_path / "scan.h5", PROTOCOLS[protocol]), "T1", grid_of(64))
    shading = np.sqrt((np.abs(true_maps(64)) ** 2).sum(axis=0))
    image, truth = reconstructed(content.kspace)[0], head_image(64, 3.5, (0.0, 0.0), 0.0) * shading
    assert np.abs(displacement(image, truth)).max() < 0.12
    scale = (image * truth).sum() / (image**2).sum()
    assert 10 * np.log10(truth.max() ** 2 / np.mean((scale * image - truth) ** 2)) > 24


def test_equal_fields_of_view_keep_the_frequencies_of_the_grid(tmp_path, maps):
    _, _, content = shown(written(tmp_path / "scan.h5", PROTOCOLS["middle elsewhere"]), 64, maps=maps)
    assert isinstance(content.kspace, KSpace) and content.kspace.mask.shape == (64,)


def refusal(tmp_path: Path, scan: Scan, **more) -> str:
    np.save(tmp_path / "maps.npy", true_maps(64))
    path = written(tmp_path / "scan.h5", scan, **more)
    with pytest.raises(InputError) as refused:
        read_kspace(path, "T1", grid_of(64, planes=len(scan.places)), tmp_path / "maps.npy")
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)
    return str(refused.value)


def turned(degrees: float) -> dict:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {"read": (c, s, 0.0), "phase": (-s, c, 0.0)}


SMALL = {"matrix": (64, 64), "fov": (224.0, 224.0)}


def test_slices_at_other_places_are_refused(tmp_path):
    message = refusal(tmp_path, Scan(places=(20.0, 32.0), **SMALL))
    assert "no slice at the plane of the given images at 0.0 mm" in message and "20.0 to 32.0 mm" in message
    assert "no slice at the plane" in refusal(tmp_path, Scan(places=(0.0, 5.5), **SMALL))


@pytest.mark.parametrize("degrees", [2.0, -20.0, 70.0])
def test_a_turn_in_the_plane_is_refused_with_its_angle(tmp_path, degrees):
    angle = min(abs(degrees), 90 - abs(degrees))
    message = refusal(tmp_path, Scan(**turned(degrees), **SMALL))
    assert f"turned by {angle:.1f} degrees in the plane" in message and "resample the given images" in message


def test_a_tilt_out_of_the_plane_is_refused_with_its_angle(tmp_path):
    c, s = np.cos(np.radians(8)), np.sin(np.radians(8))
    assert "8.0 degrees out of the plane" in refusal(tmp_path, Scan(phase=(0, c, s), up=(0, -s, c), **SMALL))
    assert "turned by 90 degrees" in refusal(tmp_path, Scan(phase=(0, 0, -1), up=(0, 1, 0), **SMALL))


def test_a_scan_turned_as_the_given_images_are_is_no_turn(tmp_path):
    """Both are turned by 15 degrees about the axis of the body: the images' affine says so, and the header too."""
    c, s = np.cos(np.radians(15)), np.sin(np.radians(15))
    turn = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])  # in RAS, and so in L P S
    grid = grid_of(64)
    scan = Scan(read=(c, s, 0), phase=(-s, c, 0), centre=(5.0, -9.0))
    straight = tuple(np.array([[c, s], [-s, c]]) @ scan.centre)  # the same point, seen along the turned axes
    np.save(tmp_path / "maps.npy", true_maps(64))
    path = written(tmp_path / "scan.h5", Scan(centre=straight), directions=scan, header_centre=scan.centre)
    content = read_kspace(path, "T1", replace(grid, affine=turn @ grid.affine), tmp_path / "maps.npy")
    truth = head_image(64, 3.5, (0.0, 0.0), 0.0)
    assert np.abs(displacement(reconstructed(content.kspace)[0], truth)).max() < 0.08


def test_slices_of_several_directions_and_positions_that_change_are_refused(tmp_path):
    axes = [((0, 1, 0), (0, 0, -1), (-1, 0, 0)), ((1, 0, 0), (0, 1, 0), (0, 0, 1))]

    def other(acquisition, number, line):
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = axes[number]
        return [acquisition]

    def moving(acquisition, number, line):
        acquisition.position[0] += line
        return [acquisition]

    assert "its slices are not parallel: slice 1" in refusal(tmp_path, Scan(places=(0.0, 4.0), **SMALL), change=other)
    assert "slice 0 more than one position" in refusal(tmp_path, Scan(**SMALL), change=moving)


def test_directions_that_are_none_are_refused(tmp_path):
    def skewed(acquisition, number, line):
        acquisition.phase_dir[:] = (0.5, 0.9, 0)
        return [acquisition]

    assert "not three at right angles" in refusal(tmp_path, Scan(**SMALL), change=skewed)


def test_a_field_of_view_beside_the_window_is_refused(tmp_path):
    assert "its field of view covers 2" in refusal(tmp_path, Scan(centre=(0.0, 170.0), **SMALL))


MODE = "<parallelImaging><calibrationMode>{}</calibrationMode></parallelImaging>"


def calibration(loud: float, alone: bool = True):
    """A line of calibration beside each central line: other values, and not flagged as part of the image."""

    def change(acquisition, number, line):
        if not 52 <= line < 76:
            return [acquisition]
        other = ismrmrd.Acquisition.from_array(loud * acquisition.data[:, ::-1].conj())
        other.idx.slice, other.idx.kspace_encode_step_1, other.center_sample = number, line, acquisition.center_sample
        for name in ("read_dir", "phase_dir", "slice_dir", "position"):
            getattr(other, name)[:] = getattr(acquisition, name)
        other.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        return [acquisition, other]

    return change


@pytest.mark.parametrize("mode", ["separate", "external"])
def test_separate_calibration_lines_are_no_image_data(tmp_path, maps, mode):
    plain = read_kspace(written(tmp_path / "a.h5", Scan()), "T1", grid_of(64), maps)
    path = written(tmp_path / "b.h5", Scan(), change=calibration(3.0), more=MODE.format(mode))
    assert torch.equal(read_kspace(path, "T1", grid_of(64), maps).kspace.data, plain.kspace.data)


def test_embedded_calibration_lines_are_image_data(tmp_path, maps):
    def flagged(acquisition, number, line):
        if 52 <= line < 76:
            acquisition.set_flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        return [acquisition]

    plain = read_kspace(written(tmp_path / "a.h5", Scan()), "T1", grid_of(64), maps)
    for more in ("", MODE.format("embedded"), MODE.format("interleaved")):
        path = tmp_path / "b.h5"
        path.unlink(missing_ok=True)
        content = read_kspace(written(path, Scan(), change=flagged, more=more), "T1", grid_of(64), maps)
        assert torch.equal(content.kspace.data, plain.kspace.data)


def junk_at_the_ends(count: int):
    def change(acquisition, number, line):
        acquisition.data[:, :count] = acquisition.data[:, -count:] = 1e5
        acquisition.discard_pre = acquisition.discard_post = count
        return [acquisition]

    return change


@pytest.mark.parametrize(("readout", "count", "axes", "least"), [(128, 12, 1, 28), (256, 88, 2, 18)])
def test_discarded_samples_are_none(tmp_path, maps, readout, count, axes, least):
    """A rim of the band that is lacking is taken as zero; where two thirds are, they count as not sampled."""
    path = written(tmp_path / "scan.h5", Scan(matrix=(readout, 128)), change=junk_at_the_ends(count))
    away, quality, content = shown(path, 64, maps=maps)
    assert away < 0.1 and quality > least and content.kspace.mask.ndim == axes


def fastmri(path: Path, scan: Scan, **fields) -> Path:
    data = np.stack(scan.slices()).astype(np.complex64)
    rng = np.random.default_rng(1)
    noise = (NOISE * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))).astype(np.complex64)
    (x, y), (fx, fy) = scan.matrix, scan.fov
    fields = {
        "kspace": np.where(scan.lines(), data + noise, 0),
        "mask": scan.lines(),
        "ismrmrd_header": XML.format(x=x, y=y, fx=fx, fy=fy, centre=y // 2, more="").encode(),
        "maps": true_maps(64),
        "noise_std": NOISE,
    } | fields
    with h5py.File(path, "w") as file:
        for name, value in fields.items():
            if value is not None:
                file[name] = value
    return path


def test_a_file_without_position_lies_around_the_middle_of_the_given_images_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("A2A_QUIET", raising=False)
    path = fastmri(tmp_path / "y.h5", Scan(fov=(448.0, 240.0), matrix=(256, 138)))
    away, quality, _ = shown(path, 64, axes="LPS")
    assert away < 0.08 and quality > 30
    assert "y.h5 states no position; its middle and its slices are taken as those of the given images" in (
        capsys.readouterr().err
    )


def test_the_middle_is_that_of_the_images_and_not_of_the_window(tmp_path):
    """The window lies 14 mm beside the middle of the images, as where it is centred on a brain."""
    grid = grid_of(64)
    aside = np.array(grid.affine)
    aside[0, 3] -= 14.0
    np.save(tmp_path / "maps.npy", true_maps(64, (14.0, 0.0)))
    path = fastmri(tmp_path / "y.h5", Scan(), maps=None)
    content = read_kspace(path, "T1", replace(grid, affine=aside), tmp_path / "maps.npy", "LPS")
    truth = head_image(64, 3.5, (14.0, 0.0), 0.0)
    assert np.abs(displacement(reconstructed(content.kspace)[0], truth)).max() < 0.08


def test_without_a_mask_all_lines_were_sampled_but_those_of_padding(tmp_path):
    scan = Scan(every=1)
    whole = read_kspace(fastmri(tmp_path / "a.h5", scan, mask=None), "T1", grid_of(64), axes="LPS")
    assert bool(whole.kspace.mask.all())
    padded = np.stack(scan.slices()).astype(np.complex64)
    padded[..., :40] = padded[..., -40:] = 0
    for mask in (None, np.ones(128, bool)):
        content = read_kspace(fastmri(tmp_path / "b.h5", scan, mask=mask, kspace=padded), "T1", grid_of(64), axes="LPS")
        assert content.kspace.mask.nonzero().flatten().tolist() == list(range(8, 56))


def test_a_locked_file_is_not_called_damaged(tmp_path):
    path = fastmri(tmp_path / "y.h5", Scan(**SMALL))
    with open(path, "rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)  # as HDF5 does while it writes
        with pytest.raises(InputError, match="y.h5: another program has it open and locked"):
            read_kspace(path, "T1", grid_of(64), axes="LPS")


def npz(path: Path, size: int, side: float, middle: tuple, *, stated: bool = True, flip: bool = False, every: int = 2):
    """k-space of the pixels of an image of its own grid, by plain sums, with the affine of this grid."""
    image = np.stack([head_image(size, side / size, middle, z) for z in (0.0, 4.0)])
    maps, pixel, edge = true_maps_at(size, side, middle), side / size, side / 2 - side / size / 2
    affine = np.array([[0, -pixel, 0, edge - middle[0]], [-pixel, 0, 0, edge - middle[1]], [0, 0, 4, 0], [0, 0, 0, 1]])
    if flip:
        image, maps = image[:, ::-1], maps[:, ::-1]
        affine = affine @ np.array([[-1, 0, 0, size - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    i = np.arange(size) - size // 2
    turn = np.exp(-2j * np.pi * np.outer(i, i) / size) / np.sqrt(size)
    lines = np.zeros(size, bool)
    lines[::every], lines[size // 2 - 10 : size // 2 + 10] = True, True
    rng = np.random.default_rng(2)
    data = turn @ (maps * image[:, None]) @ turn.T
    data += 0.002 * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))
    data = np.where(lines[:, None], data, 0).astype(np.complex64)
    more = {"affine": affine} if stated else {}
    np.savez(path, kspace=data, mask=lines, maps=maps.astype(np.complex64), noise_std=0.002, **more)
    return path


def true_maps_at(size: int, side: float, middle: tuple) -> np.ndarray:
    i = (np.arange(size) + 0.5) * side / size - side / 2
    p, left = np.meshgrid(i + middle[1], i + middle[0], indexing="ij")
    return np.stack([coil(c, np.stack([left, p], axis=-1)) for c in range(COILS)])


@pytest.mark.parametrize(
    ("size", "side", "middle", "flip"),
    [(64, 224.0, (0.0, 0.0), False), (64, 224.0, (9.0, -5.0), False), (80, 256.0, (10.0, 0.0), False),
     (75, 240.0, (0.0, -7.0), True), (100, 200.0, (0.0, 0.0), True)],
)  # fmt: skip
def test_npz_files_lie_where_their_affine_says(tmp_path, size, side, middle, flip):
    path = npz(tmp_path / "y.npz", size, side, middle, flip=flip)
    away, quality, _ = shown(path, 64, places=(0.0, 4.0))
    assert away < 0.08 and quality > 27


def test_an_npz_file_without_affine_lies_around_the_middle_of_the_given_images(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("A2A_QUIET", raising=False)
    grid = grid_of(64, planes=2)
    aside = np.array(grid.affine)
    aside[1, 3] -= 21.0
    path = npz(tmp_path / "y.npz", 64, 224.0, (0.0, 0.0), stated=False)
    content = read_kspace(path, "T1", replace(grid, affine=aside))
    truth = head_image(64, 3.5, (0.0, 21.0), 0.0)
    assert np.abs(displacement(reconstructed(content.kspace)[0], truth)).max() < 0.08
    assert "y.npz states no affine" in capsys.readouterr().err


def test_what_was_written_for_a_grid_comes_back_bit_for_bit_and_any_planes_of_it(tmp_path):
    grid = grid_of(64, planes=2)
    wide = replace(grid, planes=(3, 4, 5), slices=3)
    content = read_kspace(npz(tmp_path / "y.npz", 64, 224.0, (0.0, 0.0)), "T1", grid)
    kspace = replace(content.kspace, data=content.kspace.data[[0, 1, 0]])
    write_kspace(tmp_path / "z.npz", KSpaceFile(kspace, None, wide.affine, wide.planes))
    again = read_kspace(tmp_path / "z.npz", "T1", wide)
    assert torch.equal(again.kspace.data, kspace.data) and torch.equal(again.kspace.maps, kspace.maps)
    part = read_kspace(tmp_path / "z.npz", "T1", replace(grid, planes=(4,), slices=1))
    assert torch.equal(part.kspace.data, kspace.data[1:2])
    with pytest.raises(InputError, match="no slice at the plane of the given images at 28.0 mm"):
        read_kspace(tmp_path / "z.npz", "T1", replace(grid, planes=(3, 7)))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("affine", np.eye(3), r"affine must be a regular real \(4, 4\) matrix"),
        ("affine", np.zeros((4, 4)), r"affine must be a regular real \(4, 4\) matrix"),
        ("planes", np.array([3, 2]), "planes must be 2 growing whole numbers"),
    ],
)
def test_bad_fields_of_an_npz_are_refused(tmp_path, field, value, message):
    path = npz(tmp_path / "y.npz", 64, 224.0, (9.0, 0.0))
    with np.load(path) as content:
        fields = dict(content)
    np.savez(path, **fields | {field: value})
    with pytest.raises(InputError, match=message):
        read_kspace(path, "T1", grid_of(64, planes=2))


def test_without_images_the_grid_lies_where_the_scan_does(tmp_path, maps):
    scan = Scan(centre=(15.0, -10.0), places=(40.0, 36.0))
    content = read_kspace(written(tmp_path / "scan.h5", scan), "T1", Grid(None, 64, WINDOW), maps)
    place = content.affine @ (32, 32, 1, 1)
    np.testing.assert_allclose(place[:3], (-15.0, 10.0, 40.0), atol=1e-4)
    np.testing.assert_allclose(content.affine[:3, :3], [[0, -3.5, 0], [-3.5, 0, 0], [0, 0, 4]], atol=1e-5)


def both_axes(shape: tuple[int, int]) -> np.ndarray:
    """A random mask of half of the samples, with a full middle."""
    mask = np.random.default_rng(3).random(shape) < 0.45
    middle = tuple(slice(n // 2 - 12, n // 2 + 12) for n in shape)
    mask[middle] = True
    return mask


def npz_of(path: Path, scan: Scan, raw: bool) -> Path:
    """The scan as an ``.npz``, its phase encoding along rows, undersampled along both axes."""
    count = np.array(scan.matrix[::-1])
    steps = [np.array(d, float) * f / n for d, f, n in zip((scan.phase, scan.read), scan.fov[::-1], count, strict=True)]
    zero = np.array([*scan.centre, 0.0]) - sum(n // 2 * step for n, step in zip(count, steps, strict=True))
    to_ras = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3] = np.column_stack([to_ras @ steps[0], to_ras @ steps[1], (0, 0, 4.0), to_ras @ zero])
    area = scan.fov[0] * scan.fov[1] / np.prod(count)
    data, mask = signal(scan, 0.0).swapaxes(1, 2) / area / np.sqrt(np.prod(count)), both_axes(tuple(count))
    rng, std = np.random.default_rng(1), 0.002
    data = (data + std * (rng.normal(size=data.shape) + 1j * rng.normal(size=data.shape))) * mask
    fields = {"kspace": data[None].astype(np.complex64), "mask": mask, "affine": affine}
    row, column = np.meshgrid(*map(np.arange, count), indexing="ij")
    place = zero[:2] + row[..., None] * steps[0][:2] + column[..., None] * steps[1][:2]
    maps = np.stack([coil(c, place) for c in range(COILS)]).astype(np.complex64)
    np.savez(path, **fields | ({} if raw else {"maps": maps, "noise_std": std}))
    return path


PLANES = {
    "same directions": Scan(matrix=(180, 150), fov=(270.0, 240.0), every=1),
    "turned": Scan(read=(0, 1, 0), phase=(1, 0, 0), matrix=(180, 150), fov=(260.0, 250.0), every=1),
    "reversed": Scan((-1, 0, 0), (0, -1, 0), matrix=(181, 151), fov=(255.0, 245.0), centre=(6.0, -8.0), every=1),
    "finer than the grid": Scan(matrix=(230, 180), fov=(230.0, 236.0), every=1),
}


@pytest.mark.parametrize("protocol", PLANES)
def test_a_mask_of_both_axes_lies_on_the_head_too(tmp_path, protocol):
    away, quality, content = shown(npz_of(tmp_path / "scan.npz", PLANES[protocol], raw=False), 64)
    assert away < 0.08 and quality > 30 and isinstance(content.kspace, KSpacePlane)


def test_without_maps_they_and_the_noise_level_are_found_in_the_data(tmp_path):
    path = npz_of(tmp_path / "scan.npz", PLANES["finer than the grid"], raw=True)
    content = read_kspace(path, "T1", grid_of(64))
    shading = np.sqrt((np.abs(true_maps(64)) ** 2).sum(axis=0))
    image, truth = reconstructed(content.kspace)[0], head_image(64, 3.5, (0.0, 0.0), 0.0) * shading
    assert np.abs(displacement(image, truth)).max() < 0.12
    scale = (image * truth).sum() / (image**2).sum()
    assert 10 * np.log10(truth.max() ** 2 / np.mean((scale * image - truth) ** 2)) > 22
    assert 0.8 < np.percentile(image[image > 0], 99.5) < 1.25  # image units, by the percentile of the grid
