"""The ways in which a call can be refused or fail, each with one clear sentence."""

from numbers import Integral


class InputError(ValueError):
    """What the user gave is wrong: names the file, field or option and what would be right.

    The command line prints the sentence and leaves with exit code 2.
    """


def whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuse a setting that is no whole number from `low` to `high` (None: without end).

    Parameters
    ----------
    name
        Of the setting, for the message.
    value
        What was given.
    low, high
        First and last number that are allowed.

    Raises
    ------
    InputError
        Naming the setting, its value and the range.
    """
    if not (isinstance(value, Integral) and low <= int(value) and (high is None or int(value) <= high)):
        span = f"be {low} or more" if high is None else f"lie between {low} and {high}"
        raise InputError(f"{name}: {value!r} must {span}, a whole number.")


class UnsupportedObservation(InputError):
    """A method cannot use the observation that it was given; the sentence says why."""


class Failure(RuntimeError):
    """What the user gave is right, but disk, network or another process stood in the way; says what to do.

    The command line prints the sentence and leaves with exit code 1.
    """
