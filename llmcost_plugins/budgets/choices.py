"""Values of which there are few."""

from enum import StrEnum
from typing import TypeVar

from llmcost_plugins.errors import ConfigurationError, describe_choices

_E = TypeVar("_E", bound=StrEnum)


def parse_choice(kind: type[_E], value: str, what: str) -> _E:
    """Return the member of that value.

    Raises:
        ConfigurationError: there is none; the message names *what* it was for, and the choices.
    """
    try:
        return kind(value)
    except ValueError:
        choices = describe_choices([member.value for member in kind])
        msg = f"{what} is {value!r}; it must be one of {choices}"
        raise ConfigurationError(msg) from None
