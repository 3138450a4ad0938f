"""From LangChain's end and error events to the end of a call. Nothing here raises."""

import logging
from typing import Any, Final

from langchain_core.outputs import LLMResult

from llmcost_langchain._messages import (
    from_cache,
    read_usage,
    received_bytes,
    served_model,
)
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.failures import ended_by_caller, may_be_billed
from llmcost_plugins.ledger import Outcome

_log: Final = logging.getLogger("llmcost_plugins")


def settle_answer(opened: OpenCall, result: LLMResult, streamed: int) -> Outcome | None:
    """End a call whose answer has arrived."""
    try:
        usage, served, cached = read_usage(result), served_model(result), from_cache(result)
    except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
        _log.exception("the usage of the call %s could not be read", opened.spec.id)
        usage, served, cached = None, None, False
    if usage is None:
        usage = opened.estimated_usage(max(streamed, received_bytes(result)))
    return opened.cached(usage, served) if cached else opened.finish(usage, served)


def settle_error(
    opened: OpenCall, error: BaseException, response: Any, streamed: int
) -> Outcome | None:
    """End a call that failed or was broken off.

    A consumer that stops at the last chunk "fails" with the exact usage in hand; a provider that
    refuses with an HTTP status bills nothing; an answer that never came may have been billed whole.
    """
    result = response if isinstance(response, LLMResult) else None
    try:
        usage = read_usage(result) if result else None
        received = max(streamed, received_bytes(result))
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the partial answer of the call %s could not be read", opened.spec.id)
        usage, received = None, streamed
    if ended_by_caller(error):
        detail = f"the caller ended it: {type(error).__name__}"
        return opened.abort(streamed_bytes=received or None, usage=usage, detail=detail)
    if usage is not None:
        return opened.fail(error, billed=usage)
    if received:
        return opened.fail(error, billed=opened.estimated_usage(received))
    if may_be_billed(error):
        return opened.fail(error, billed=opened.estimated_usage(None))
    return opened.fail(error)
