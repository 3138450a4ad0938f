"""From LlamaIndex's end events to the end of a call. Nothing here raises."""

from llmcost_llamaindex._chunks import received_bytes
from llmcost_llamaindex._events import Response, read_summary, read_usage, served_model
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.pricing.sizes import text_bound
from llmcost_plugins.usage import Usage


def settle_answer(
    opened: OpenCall, response: Response | None, streamed: int, seen: Usage | None
) -> bool:
    """End a call whose answer has arrived; return whether the provider reported its usage.

    Args:
        opened: the call.
        response: the answer, or the last chunk of a stream.
        streamed: UTF-8 bytes of all chunks; 0 when it was no stream.
        seen: the usage that an earlier chunk reported.
    """
    try:
        usage, served = read_usage(response) or seen, served_model(response)
        summary = read_summary(response) if usage is None else None
        received = streamed or received_bytes(response)
    except Exception:  # noqa: BLE001 - logged and counted
        # An unforeseen shape must not cost the answer.
        opened.note_failure("the usage")
        usage, served, summary, received = seen, None, None, streamed
    opened.finish(usage or summary or opened.estimated_usage(received or None), served)
    return usage is not None


def settle_object(opened: OpenCall, response: Response | None) -> None:
    """End a call that answered with an object of the user's: nothing of its usage is known.

    Nothing is read in that object, whose fields may have any name.
    """
    text = "" if response is None else str(response)
    opened.finish(opened.estimated_usage(text_bound(text) or None))
