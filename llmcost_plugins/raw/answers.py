"""What a function of a provider's client has returned: an answer, a stream, or one not read yet."""

import inspect
from copy import copy
from typing import Any, Final

from llmcost_plugins.raw.recording import Recording
from llmcost_plugins.raw.watching import Watch, is_stream, watched

_KEEPERS: Final = frozenset({"litellm"})
"""Packages that hold on to the streams they return. Their callers get a copy, so that we see when
they have forgotten it."""


def settle(recording: Recording, answer: Any, *, hides_usage: bool = False) -> Any:
    """End the call of an answer, or see to it that the end of its stream does; return the answer.

    It is the same object, except for a plain generator, whose class cannot be replaced, and a
    stream of LiteLLM.
    """
    found, done = _parse(answer)
    if not done and inspect.isawaitable(found):
        found.close()  # type: ignore[attr-defined]
        found = answer
    return _settle(recording, answer, found, hides_usage=hides_usage)


async def asettle(recording: Recording, answer: Any, *, hides_usage: bool = False) -> Any:
    """Do what `settle` does, where reading the answer may have to be awaited."""
    found, done = _parse(answer)
    if not done and inspect.isawaitable(found):
        try:
            found = await found
        except Exception:  # noqa: BLE001 - for the caller to see, who will parse it again
            found = None
    return _settle(recording, answer, found, hides_usage=hides_usage)


def is_unread(answer: object) -> bool:
    """Tell whether it is a response that the caller is to parse (``with_raw_response``)."""
    try:
        return callable(getattr(answer, "parse", None)) and hasattr(answer, "headers")
    except Exception:  # noqa: BLE001 - code of others; the answer has been paid for
        return False


def _parse(answer: Any) -> tuple[Any, bool]:
    if not is_unread(answer):
        return answer, True
    try:
        # The response keeps what it has parsed, so that the caller gets this very object.
        return answer.parse(), False
    except Exception:  # noqa: BLE001 - for the caller to see, who will parse it again
        return None, True


def _settle(recording: Recording, answer: Any, found: Any, *, hides_usage: bool) -> Any:
    if not is_stream(found):
        recording.answered(found)
        return answer
    own = copy(found) if type(found).__module__.partition(".")[0] in _KEEPERS else found
    seen = watched(own, Watch(recording, hides_usage=hides_usage))
    return seen if found is answer else answer
