"""What a request asks for, in no provider's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple


class Tool(NamedTuple):
    """A function of the client's that an answer can call."""

    name: str
    parameters: Mapping[str, Any] | None
    """The JSON schema of its arguments."""


class Calling(Enum):
    """Whether an answer calls tools."""

    AUTO = "the tools that the user has named"
    NONE = "none"
    REQUIRED = "at least one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks for."""

    said: str = ""
    """The text of the last message that is the user's."""
    is_users_turn: bool = True
    """Whether that is the last message of all; otherwise it was answered with tools already."""
    tools: Sequence[Tool] = ()
    calling: Calling = Calling.AUTO
    forced: str | None = None
    """The tool that has to be called, whatever `calling` is."""
    parallel: bool = True
    """Whether one answer may call several tools."""
    schema: Mapping[str, Any] | None = None
    """The answer is JSON that follows this schema."""
    json_object: bool = False
    """The answer is some JSON object."""
    stops: Sequence[str] = ()
    cap: int | None = None
    """The most tokens that the answer may have, reasoning included."""
