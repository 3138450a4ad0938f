"""From LangChain's end and error events to the end of a call. Nothing here raises."""

import logging
from typing import Any, Final

from langchain_core.outputs import LLMResult

from llmcost_langchain._live import LiveCall
from llmcost_langchain._messages import (
    from_cache,
    read_summary,
    read_usage,
    received_bytes,
    served_model,
)
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.ledger import Outcome

_log: Final = logging.getLogger("llmcost_plugins")


def settle_answer(call: LiveCall, result: LLMResult) -> Outcome | None:
    """End a call whose answer has arrived."""
    opened = call.opened
    usage, served, cached = None, None, False
    try:
        usage, served, cached = read_usage(result), served_model(result), from_cache(result)
        usage = read_summary(call.said) if usage is None else usage
    except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
        _log.exception("the usage of the call %s could not be read", opened.spec.id)
    if usage is None:
        usage = opened.estimated_usage(_received(call, result))
    return opened.cached(usage, served) if cached else opened.finish(usage, served)


def settle_error(call: LiveCall, error: BaseException, response: Any) -> Outcome | None:
    """End a call that failed or was broken off, see `OpenCall.broke`."""
    result = response if isinstance(response, LLMResult) else None
    usage, served = None, None
    try:
        if result is not None:
            usage, served = read_usage(result), served_model(result)
        usage = read_summary(call.said) if usage is None else usage
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the partial usage of the call %s could not be read", call.opened.spec.id)
    received = _received(call, result) or 0
    return call.opened.broke(error, received_bytes=received, usage=usage, served=served)


def settle_decision(opened: OpenCall, answer: Any) -> Outcome | None:
    """End the call of a decision model."""
    usage = None
    try:
        usage = read_summary(getattr(answer, "usage", None))
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the usage of the call %s could not be read", opened.spec.id)
    served = getattr(answer, "model", None)
    return opened.finish(
        opened.estimated_usage(None) if usage is None else usage,
        served if isinstance(served, str) else None,
    )


def settle_dropped(call: LiveCall) -> Outcome | None:
    """End a call that was answered, whose answer LangChain dropped because a later one failed."""
    detail = "a later prompt of the same generate() failed, so that LangChain dropped the answer"
    return call.opened.abort(streamed_bytes=None, detail=detail)


def _received(call: LiveCall, result: LLMResult | None) -> int | None:
    """Return the bytes of an answer; `None` when nothing tells."""
    try:
        return max(call.received_bytes, received_bytes(result))
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the size of the answer to %s could not be read", call.opened.spec.id)
        return call.received_bytes or None
