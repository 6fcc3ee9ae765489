"""Options of a compared method: what may be chosen anew each time it completes, though its weights bring a choice.

They are the fields of its training's configuration that the class names in ``options``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from a2a.common.errors import InputError
from a2a.methods.baselines.base import Baseline
from a2a.methods.registry import Loadable, find

M = TypeVar("M", bound=Loadable)


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Refuse what a method has not, or what is out of its range.

    Parameters
    ----------
    name
        Of the method.
    given
        Options by name.

    Raises
    ------
    InputError
        Naming the option.
    """
    found = find(name)
    trained = found if found and issubclass(found, Baseline) else None
    known: tuple[str, ...] = trained.options if trained else ()
    for option, value in given.items():
        if not trained or option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise InputError(f"{option}: {name} has no such option; {has}.")
        field = trained.Config.model_fields[option]
        try:
            TypeAdapter(Annotated[field.annotation, field]).validate_python(value)  # type: ignore[arg-type]
        except ValidationError as error:
            raise InputError(f"{option}: {error.errors()[0]['msg']}, got {value!r} ({name}).") from None


def with_options(found: M, given: Mapping[str, Any]) -> M:
    """Return a method with some of its options chosen.

    Parameters
    ----------
    found
        The method.
    given
        Options by name.

    Raises
    ------
    InputError
        If it has no such option, or the choices do not go together.
    """
    check_options(found.name, given)
    return found.chosen(given) if isinstance(found, Baseline) and given else found


def label(name: str, given: Mapping[str, Any]) -> str:
    """Name in tables: the method's and each option that was chosen, ``apt-random-stages-1``.

    Parameters
    ----------
    name
        Of the method.
    given
        Options by name; a word stands for itself, a number after its name.
    """
    words = [
        value if isinstance(value, str) else f"{option.replace('_', '-')}-{value:g}" for option, value in given.items()
    ]
    return "-".join([name, *words])
