"""The two ways in which a call can be refused, each with one clear sentence."""


class InputError(ValueError):
    """What the user gave is wrong: names the file, field or option and what would be right.

    The command line prints the sentence and leaves with exit code 2.
    """


class UnsupportedObservation(InputError):
    """A method cannot use the observation that it was given; the sentence says why."""
