"""What a failed call says of itself: who ended it, whether it may be billed, whether to try again.

Frameworks and clients wrap the errors of their HTTP library, each in its own classes. The HTTP
status and the names of the wrapped errors are what they have in common; no client is imported here.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

_BY_CALLER: Final = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})
_ANSWER_LOST: Final = frozenset({"ReadError", "RemoteProtocolError", "WriteError"})
_TIMED_OUT: Final = frozenset({"ReadTimeout", "WriteTimeout", "TimeoutError"})
_TRANSIENT_STATUS: Final = frozenset({408, 429})
_REFUSALS: Final = 400
_SERVER_ERRORS: Final = 500


def ended_by_caller(error: BaseException) -> bool:
    """Tell whether the caller broke the call off, rather than the provider."""
    return isinstance(error, _BY_CALLER)


def may_be_billed(error: BaseException) -> bool:
    """Tell whether the provider may bill the call although no answer of it could be used.

    One that answers with an HTTP status of failure bills nothing, and a request that was never sent
    is not billed either. One that timed out, or whose answer was lost on its way, may be, and so
    may one whose answer arrived and could not be read.
    """
    status, names = _status(error), _names(error)
    # LiteLLM gives what never was an HTTP answer a status of its own: 408 or 500.
    made_up = names & (_ANSWER_LOST | _TIMED_OUT) and "HTTPStatusError" not in names
    if status is not None and not made_up:
        return status < _REFUSALS
    if names & _NEVER_SENT:
        return False
    return bool(names & _ANSWER_LOST) or any("Timeout" in name for name in names)


def is_transient(error: BaseException) -> bool:
    """Tell whether another model may succeed: after timeouts, rate limits and server errors."""
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS or status >= _SERVER_ERRORS
    names = _names(error)
    lost = names & (_NEVER_SENT | _ANSWER_LOST)
    return bool(lost) or any("Timeout" in name or "ConnectionError" in name for name in names)


def kind_of(error: BaseException) -> str:
    """Name an error's class and its HTTP status, if there is one.

    What is written down of a failed call: the texts of providers and parsers quote prompts, answers
    and keys.
    """
    status = _status(error)
    name = type(error).__name__
    return name if status is None else f"{name}, status {status}"


def _status(error: BaseException) -> int | None:
    for one in _chain(error):
        status = getattr(one, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for one in _chain(error) for kind in type(one).__mro__}


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
