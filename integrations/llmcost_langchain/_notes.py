"""What a router says in `response_metadata["llmcost"]`: who answered, and for how much."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.money import usd_string
from llmcost_plugins.routing import Attempt

METADATA_KEY: Final = "llmcost"

_M = TypeVar("_M", bound=AIMessage)


def note_of_start(opened: OpenCall, attempt: Attempt) -> dict[str, Any]:
    """Say which model was chosen, and why others were not.

    ``model`` is its name, ``candidate`` its place on the ladder, ``passed_over`` the names of the
    others with reasons, ``output_cap`` the cap in tokens that the router gave the call.
    """
    note: dict[str, Any] = {
        "model": opened.spec.model,
        "candidate": attempt.index,
        "passed_over": attempt.passed_over,
    }
    if opened.spec.cap_is_ours:
        note["output_cap"] = opened.spec.size.output_cap
    return note


def note_of_end(opened: OpenCall) -> dict[str, Any]:
    """Say in ``cost_usd`` what the call has cost, in ``remaining`` what its budgets have left."""
    if opened.outcome is None:
        return {}
    return {"cost_usd": usd_string(opened.outcome.cost), "remaining": opened.remaining}


def noted(message: _M, note: Mapping[str, Any]) -> _M:
    """Return a copy of a message, or of a chunk of one, that says so."""
    known = message.response_metadata.get(METADATA_KEY) or {}
    metadata = {**message.response_metadata, METADATA_KEY: {**known, **note}}
    return message.model_copy(update={"response_metadata": metadata})


def stamp(result: LLMResult, opened: OpenCall, attempt: Attempt) -> LLMResult:
    """Return a result that says it in each of its answers."""
    note = {**note_of_start(opened, attempt), **note_of_end(opened)}
    stamped = [[_stamped(choice, note) for choice in choices] for choices in result.generations]
    return result.model_copy(update={"generations": stamped})


def _stamped(choice: Any, note: Mapping[str, Any]) -> Any:
    if not isinstance(choice, ChatGeneration):
        return choice
    # A copy: the message of a cache hit may be the one that the cache keeps.
    return choice.model_copy(update={"message": noted(cast("AIMessage", choice.message), note)})


def candidate_of(message: object) -> int:
    """Return the place of the model that gave an answer; 0 where nothing says."""
    metadata = getattr(message, "response_metadata", None) or {}
    index = (metadata.get(METADATA_KEY) or {}).get("candidate")
    return index if isinstance(index, int) else 0
