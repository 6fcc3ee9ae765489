"""The ways in which a call can be refused or fail, each with one clear sentence."""


class InputError(ValueError):
    """What the user gave is wrong: names the file, field or option and what would be right.

    The command line prints the sentence and leaves with exit code 2.
    """


class UnsupportedObservation(InputError):
    """A method cannot use the observation that it was given; the sentence says why."""


class Failure(RuntimeError):
    """What the user gave is right, but disk, network or another process stood in the way; says what to do.

    The command line prints the sentence and leaves with exit code 1.
    """
