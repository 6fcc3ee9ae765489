"""Do k-space, operator and noise level agree? What the data themselves say is compared with what the file says.

Explained in the chapter "Your own NIfTI files".
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from a2a.common.errors import InputError
from a2a.common.progress import remark
from a2a.data.kspace.grid import ScannerKSpace, noise_std
from a2a.forward.measured import AnyKSpace, KSpace, norm2
from a2a.forward.operators import LinearOperator

UNBELIEVABLE = 10.0
EXPLAINED, LARGE, BETTER = 3.0, 0.4, 1 / 3
SLICES = 5
_CORNER, _SAMPLES = 0.8, 64
_DAMPING, _MORE_DAMPING = 1e-3, 0.03
BESIDE, CLEARLY = 0.1, 1.2
_BRIGHT, _CHANCE = 0.2, 0.05
_TURNS = {
    "turned by 180 degrees: it may be conjugate": lambda image: image[:, ::-1, ::-1],
    "mirrored from front to back: its axes may be others": lambda image: image[:, ::-1],
    "mirrored from left to right: its axes may be others": lambda image: image[:, :, ::-1],
    "with rows and columns swapped: its axes may be others": lambda image: image.swapaxes(1, 2),
    "moved by half the window, its image is not centred (fftshift)": lambda image: np.roll(image, _half(image), (1, 2)),
    "moved by half the window along rows, its image is not centred (fftshift)": lambda image: np.roll(
        image, _half(image)[0], 1
    ),
    "moved by half the window along columns, its image is not centred (fftshift)": lambda image: np.roll(
        image, _half(image)[1], 2
    ),
}


def believable_noise(scan: ScannerKSpace, name: str) -> ScannerKSpace:
    """Replace the level of a noise scan that cannot be that of the image lines, and say so of the file `name`.

    In the corners of k-space there is hardly any signal. If the values there are ten times the noise scan, or a tenth
    of it, then it was acquired in other units; the level at the rim of k-space takes its place, which is rather too
    large than too small.
    """
    if scan.noise_std is None:
        return scan
    samples = np.ones(scan.data.shape[2], dtype=bool) if scan.samples is None else scan.samples
    x, y = (np.abs(np.arange(len(seen)) - len(seen) // 2) for seen in (samples, scan.lines))
    inner = np.minimum(x[:, None] / max(x[samples].max(), 1), y / max(y[scan.lines].max(), 1))
    values = scan.data[..., (inner >= _CORNER) & samples[:, None] & scan.lines]
    values = values[values != 0]
    if values.size < _SAMPLES:
        return scan
    quiet = float(np.median(np.abs(np.stack([values.real, values.imag]))) / 0.6745)
    if 1 / UNBELIEVABLE < quiet / max(scan.noise_std, 1e-30) < UNBELIEVABLE:
        return scan
    found = noise_std(replace(scan, noise_std=None))
    remark(
        f"{name}: the noise scan has {scan.noise_std:.3g}, but the corners of k-space {quiet:.3g}: it was acquired "
        f"in other units, so the noise level at the rim of k-space, {found:.3g}, is used"
    )
    return replace(scan, noise_std=found)


def require_centred(data: np.ndarray, name: str) -> None:
    """Refuse k-space whose energy does not lie around zero frequency, index n // 2 of each axis.

    Parameters
    ----------
    data
        ``(N, coils, X, Y)``, zero where not sampled.
    name
        The modality, for messages.

    Raises
    ------
    InputError
        Says where the largest energy lies, and where it should.
    """
    power = (np.abs(data) ** 2).sum(axis=(0, 1), dtype=np.float64)
    if not power.any():
        raise InputError(f"k-space of {name} holds nothing but zeros.")
    peak = tuple(int(i) for i in np.unravel_index(power.argmax(), power.shape))
    middle = tuple(n // 2 for n in power.shape)
    sampled = [np.flatnonzero(power.any(axis=1 - axis)) for axis in (0, 1)]
    for axis, length in enumerate(power.shape):
        nearest = np.abs(sampled[axis] - middle[axis]).min()
        if abs(peak[axis] - middle[axis]) > max(length / 8, 2 + nearest):
            raise InputError(
                f"the largest energy of k-space of {name} lies at {peak} of {power.shape}, not at its middle {middle}; "
                "zero frequency belongs there (numpy.fft.fftshift)."
            )


def require_explained(kspace: AnyKSpace, name: str) -> None:
    """Refuse k-space that no real image explains within its noise.

    The least-squares image leaves a residual in five of the slices. It is refused if it is larger than noise allows
    (more than 3 times per number that was measured beyond the unknowns) and either a large part of the data (more than
    0.4 of their root mean square; a real scan with estimated maps has 0.1 to 0.25) or less than a third of it is left
    when the data are changed as people get them wrong, which is then the likely cause.

    Raises
    ------
    InputError
        Says residual, noise and the likely cause.
    """
    kspace = _of_slices(kspace)
    operator, data = kspace.measurement(name)
    left = residual(operator, data)
    count = data.shape[0] * operator.measurements(*kspace.maps.shape[-2:])
    beyond = max(count - data.shape[0] * kspace.maps.shape[-2] * kspace.maps.shape[-1], 1)
    part, root = left / max(_size(data), 1e-30), np.sqrt(count)
    left, noise = left / root, float(kspace.noise_std) * np.sqrt(beyond) / root
    if left <= EXPLAINED * noise:
        return
    causes = {cause: residual(operator, operator.sampled(changed)) / root for cause, changed in _changes(kspace)}
    cause = min(causes, key=causes.get)
    better = causes[cause] < left * BETTER
    if part <= LARGE and not better:
        return
    why = f"; it looks as if it were {cause}" if better else ""
    raise InputError(
        f"k-space of {name} does not fit its coil maps: no real image explains it better than to {left:.2g} a number, "
        f"where the noise is {noise:.2g}{why}."
    )


def require_same_head(kspace: AnyKSpace, given: Sequence[np.ndarray], pixel_mm: float, name: str) -> None:
    """Refuse k-space whose image lies or runs otherwise than the given images of the same slices.

    The least-squares image is compared with each given image. The two have to say as much of each other (in mutual
    information, which holds across contrasts) as they do after a half turn, a mirroring or a shift by half the window:
    conjugate k-space shows a head turned by 180 degrees, axes that were named wrongly mirror it, and without fftshift
    it is cut in halves. And where its head (brighter than a fifth of its brightest) lies more than a tenth of the
    window beside theirs, they must not say more of each other after that shift.

    Parameters
    ----------
    kspace
        On the grid of the given images.
    given
        Clean images ``(N, H, W)`` in [0, 1].
    pixel_mm
        Side of a pixel.
    name
        The modality, for messages.

    Raises
    ------
    InputError
        Says by how much, and the likely cause.
    """
    rows = _some_slices(len(kspace.data))
    operator, data = _of_slices(kspace).measurement(name)
    b = operator.adjoint(data)
    trace = float(torch.as_tensor(operator.trace(*b.shape[1:])).double().mean())
    image = operator.prox(torch.zeros_like(b), b, _MORE_DAMPING * trace / b[0].numel()).abs().numpy()
    for other in (images[rows] for images in given):
        as_it_is = _shared(image, other)
        turned = {cause: _shared(change(image), other) for cause, change in _TURNS.items()}
        cause = max(turned, key=turned.get)
        if turned[cause] > CLEARLY * as_it_is + _CHANCE:
            raise InputError(
                f"the image of k-space of {name} fits the given images better {cause} (mutual information "
                f"{turned[cause]:.2f} instead of {as_it_is:.2f} nat)."
            )
        away = np.round(_middle(image) - _middle(other)).astype(int)
        beside = float(np.hypot(*away)) * pixel_mm
        if np.abs(away).max() > BESIDE * image.shape[-1]:
            moved = _shared(np.roll(image, -away, (1, 2)), other)
            if moved > CLEARLY * as_it_is + _CHANCE:
                raise InputError(
                    f"the head in k-space of {name} lies {beside:.0f} mm beside that of the given images; its stated "
                    "position, or the transform of its image (fftshift), is wrong."
                )


def _half(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1] // 2, image.shape[2] // 2


def _middle(image: np.ndarray) -> np.ndarray:
    """Centre of what is bright, (rows, columns) in pixels."""
    bright = image > _BRIGHT * np.percentile(image, 99.5)
    rows, columns = bright.sum(axis=(0, 2)), bright.sum(axis=(0, 1))
    return np.array([(n * np.arange(len(n))).sum() / max(n.sum(), 1) for n in (rows, columns)])


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """Mutual information of two images in nats, from 16 x 16 bins."""
    a, b = (np.clip(image, 0, np.percentile(image, 99.5)).ravel() for image in (a, b))
    joint = np.histogram2d(a, b, bins=16)[0] / a.size
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    full = joint > 0
    return float((joint[full] * np.log(joint[full] / apart[full])).sum())


def _of_slices(kspace: AnyKSpace) -> AnyKSpace:
    """A few slices, evenly spread: enough to see whether data and maps agree."""
    count = len(kspace.data)
    rows = _some_slices(count)
    maps = kspace.maps[rows] if kspace.maps.ndim == 4 and len(kspace.maps) == count else kspace.maps
    return replace(kspace, data=kspace.data[rows], maps=maps)


def _some_slices(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, SLICES)).round().astype(int)).tolist()


def residual(operator: LinearOperator, data: torch.Tensor) -> float:
    """Norm of what the least-squares image leaves.

    Parameters
    ----------
    operator
        Of real images.
    data
        What was measured.
    """
    b = operator.adjoint(data)
    trace = float(torch.as_tensor(operator.trace(*b.shape[1:])).double().mean())
    return _size(data - operator.forward(operator.prox(torch.zeros_like(b), b, _DAMPING * trace / b[0].numel())))


def _size(data: torch.Tensor) -> float:
    return float(norm2(data).sum().sqrt())


def _changes(kspace: AnyKSpace) -> list[tuple[str, torch.Tensor]]:
    """What people do wrong with k-space, undone."""
    data = kspace.data
    undone = [("conjugate (exp(+i) for exp(-i))", data.conj().resolve_conj())]
    if isinstance(kspace, KSpace):
        height, width = data.shape[-2:]
        signs = 1 - 2 * ((torch.arange(height)[:, None] + torch.arange(width)) % 2)
        undone.append(("of an image that is not centred (fftshift in image space is missing)", data * signs))
        if height == width:
            undone.append(("stored with rows and columns swapped", data.mT.contiguous()))
    return undone
