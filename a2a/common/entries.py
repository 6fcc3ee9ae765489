"""What installed packages, this one among them, enter by name: an entry point of a group each.

Names are known before anything is imported. Explained in the chapter "A method of your own".
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

METHODS = "a2a.methods"
SAMPLERS = "a2a.samplers"


@cache
def entries(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, ``a2a.methods`` or ``a2a.samplers``, in the order of the alphabet."""
    return {entry.name: entry for entry in sorted(entry_points(group=group), key=lambda entry: entry.name)}
