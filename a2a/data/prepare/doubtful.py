"""Series that hardly resemble the reference of their subject: another body part, another person, a failed registration.

Mutual information sees it, but what is usual depends on the modality, so a series is compared with the same series of
the other subjects. A doubtful one is kept and said, for a person to look at.
"""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

USUAL_PART = 0.3  # of the usual information
ENOUGH = 3  # subjects, to know what is usual
LEAST = 0.15  # nat, where that is unknown


@dataclass(frozen=True)
class Doubt:
    """One series that a person should look at.

    Parameters
    ----------
    subject
        Whose it is.
    series
        The modality.
    information
        Mutual information with the reference, in nats.
    usual
        Median of the same series over all subjects; None where there are too few.
    """

    subject: str
    series: str
    information: float
    usual: float | None

    def __str__(self) -> str:
        usual = "" if self.usual is None else f" (usual are {self.usual:.2f})"
        return (
            f"{self.subject}: {self.series} shares {self.information:.2f} nat of information with its reference"
            f"{usual}; is it of the same head, and did the registration succeed?"
        )


def doubts(subjects: Mapping[str, Mapping]) -> tuple[Doubt, ...]:
    """Find the doubtful series of a store.

    Parameters
    ----------
    subjects
        The manifest's record of each subject; of those without figures nothing is known.
    """
    figures = {
        subject: {series: float(values["information"]) for series, values in record.get("quality", {}).items()}
        for subject, record in subjects.items()
    }
    by_series: dict[str, list[float]] = {}
    for found in figures.values():
        for series, information in found.items():
            by_series.setdefault(series, []).append(information)
    usual = {name: statistics.median(each) for name, each in by_series.items() if len(each) >= ENOUGH}
    return tuple(
        Doubt(subject, series, information, usual.get(series))
        for subject, found in figures.items()
        for series, information in found.items()
        if information < (USUAL_PART * usual[series] if series in usual else LEAST)
    )
