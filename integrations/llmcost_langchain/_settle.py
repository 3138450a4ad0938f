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
        usage = opened.estimated_usage(_received(opened, result, streamed))
    return opened.cached(usage, served) if cached else opened.finish(usage, served)


def settle_error(
    opened: OpenCall, error: BaseException, response: Any, streamed: int
) -> Outcome | None:
    """End a call that failed or was broken off, see `OpenCall.broke`."""
    result = response if isinstance(response, LLMResult) else None
    try:
        usage = read_usage(result) if result else None
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the partial usage of the call %s could not be read", opened.spec.id)
        usage = None
    received = _received(opened, result, streamed) or 0
    return opened.broke(error, received_bytes=received, usage=usage)


def _received(opened: OpenCall, result: LLMResult | None, streamed: int) -> int | None:
    """Return the bytes of an answer; `None` when nothing tells."""
    try:
        return max(streamed, received_bytes(result))
    except Exception:  # noqa: BLE001 - see settle_answer
        _log.exception("the size of the answer to the call %s could not be read", opened.spec.id)
        return streamed or None
