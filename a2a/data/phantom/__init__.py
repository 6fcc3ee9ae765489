"""Physics-based synthetic brain subjects: the licence-free data set of the book."""

from a2a.data.phantom.config import PHANTOM_VERSION, PhantomConfig
from a2a.data.phantom.floor import Floor, floor
from a2a.data.phantom.normalise import pet_constant, slice_indices, stack_slices, stack_spec
from a2a.data.phantom.subject import Subject, generate_subject

__all__ = [
    "PHANTOM_VERSION",
    "Floor",
    "PhantomConfig",
    "Subject",
    "floor",
    "generate_subject",
    "pet_constant",
    "slice_indices",
    "stack_slices",
    "stack_spec",
]
