"""What a completion is: how fine it was computed, and what its weights have seen.

Explained in the chapter "Your own NIfTI files".
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from a2a.common.errors import InputError
from a2a.data.cards.card import load_card
from a2a.data.cards.collection import find_collection, load_collection
from a2a.data.cards.parts import PhantomSource
from a2a.data.volumes.brightness import UNLIKE, brightness, distance
from a2a.data.volumes.slices import SliceGeometry
from a2a.forward.observation import Observation

SHOWS = {
    "none": "whole heads",
    "head": "whole heads",
    "nonzero": "skull-stripped brains",
    "file": "skull-stripped brains",
}
"""What the training images show, by the foreground of their card."""
BACKGROUND = 0.1
"""Share of a volume that is exactly 0 at least where the skull was stripped; a tight box around a brain has more."""


def statement(card: Mapping[str, Any], geometry: SliceGeometry) -> dict[str, Any]:
    """Return what the report and the terminal say of a completion, as JSON values.

    Parameters
    ----------
    card
        Model card of the weights.
    geometry
        Where the slices lie.
    """
    return {
        "resolution_mm": resolution(geometry),
        "trained_on": _trained_on(card),
        "scale": "a completed modality has the brightness of the training images, not of the patient's scanner",
        "use": "for research only",
    }


def resolution(geometry: SliceGeometry) -> list[float]:
    """Return the pixel of a slice along x and y and the distance of slices, in mm.

    Parameters
    ----------
    geometry
        Where the slices lie.
    """
    steps = np.linalg.norm(geometry.pixel_affine[:3, :3], axis=0)
    apart = int(np.diff(geometry.planes).min()) if len(geometry.planes) > 1 else 1
    return [round(float(steps[1]), 3), round(float(steps[0]), 3), round(float(steps[2]) * apart, 3)]


def in_words(said: Mapping[str, Any]) -> str:
    """Return two sentences for a terminal.

    Parameters
    ----------
    said
        What `statement` returned.
    """
    x, y, z = said["resolution_mm"]
    return (
        f"Computed at {x:g} x {y:g} mm in planes {z:g} mm apart, by weights that learnt from "
        f"{_in_words(said['trained_on'])}. {said['use'].capitalize()}."
    )


def doubts(card: Mapping[str, Any], observation: Observation, background: np.ndarray | None) -> list[str]:
    """Return in sentences how given images are unlike those that weights learnt from.

    Parameters
    ----------
    card
        Model card of the weights.
    observation
        Of the patient; its clean images are looked at.
    background
        Where all given images are exactly 0, bool; None if there is none, or the weights learnt from whole heads.
    """
    found = []
    if background is not None and background.mean() < BACKGROUND:
        found.append(
            f"The given images show more than the brain ({background.mean():.0%} of their voxels are 0, as skull "
            "stripping leaves them), but the weights learnt from skull-stripped brains: strip the skull first."
        )
    usual = card.get("data", {}).get("brightness", {})
    for channel, name in enumerate(observation.spec.names):
        seen = brightness(observation.data[channel].cpu().numpy()) if observation.kinds[channel] == "clean" else []
        if seen and usual.get(name) and (off := distance(seen, usual[name])) > UNLIKE:
            found.append(
                f"The brightness of {name} is not distributed as in the images of training (percentiles differ by "
                f"{off:.0%} of the median): make sure that this is {name}, of heads of the same kind."
            )
    return found


def simulated(card: Mapping[str, Any]) -> bool:
    """Return whether weights are known to have learnt from simulated heads.

    Parameters
    ----------
    card
        Their model card.
    """
    return _heads(card.get("data", {}).get("card")) == "simulated heads"


def learnt_from(card: Mapping[str, Any]) -> str:
    """Return in words what weights have seen.

    Parameters
    ----------
    card
        Their model card.
    """
    return _in_words(_trained_on(card))


def _trained_on(card: Mapping[str, Any]) -> dict[str, Any]:
    data = card.get("data", {})
    name, foreground = data.get("card"), data.get("preprocessing", {}).get("foreground")
    images = SHOWS.get(str(foreground), "images of a kind that is not stated")
    return {"card": name, "profile": data.get("profile"), "heads": _heads(name), "images": images}


def _in_words(trained: Mapping[str, Any]) -> str:
    return f"{trained['images']} ({trained['heads'].removesuffix(' heads')}, data {trained['card'] or 'not stated'})"


def _heads(card: str | None) -> str:
    """Whether the training heads were simulated, as far as a card of this name is known."""
    try:
        members = [m.card for m in load_collection(card).members] if card and find_collection(card) else [card]
        sources = [load_card(one).source for one in members if one]
    except InputError:
        sources = []
    if not sources:
        return "not known whether real heads"
    return "simulated heads" if all(isinstance(one, PhantomSource) for one in sources) else "real heads"
