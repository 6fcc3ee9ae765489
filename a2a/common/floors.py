"""The floors of the package, ground first: a module imports only from its own floor and from those below it.

The order of the reference pages and the keys of the workflow follow this list, and a test holds it against the folders
and against every import.
"""

FLOORS = (
    "common",
    "forward",
    "networks",
    "data",
    "prior",
    "samplers",
    "training",
    "evaluation",
    "methods",
    "figures",
    "patient",
    "benchmark",
    "bookmaking",
    "cli",
)

PAGES_ONLY = ("figures", "bookmaking")
"""Floors that make figures and pages, and no number in a table."""
