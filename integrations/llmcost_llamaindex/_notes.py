"""What a router says in ``additional_kwargs["llmcost"]``: who answered, and for how much."""

from typing import Any, Final

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from llmcost_plugins.calls import OpenCall
from llmcost_plugins.money import usd_string
from llmcost_plugins.routing import Attempt

NOTE_KEY: Final = "llmcost"


class Note:
    """What is said of one answer, in each of its chunks.

    On the response, not on its message: classes send what messages carry to the provider. All
    chunks share it, so that the last one tells the cost once the stream has ended, and none has to
    be held back for that.

    ``model`` is the name of the one that answers, ``candidate`` its place on the ladder,
    ``passed_over`` the names of the others with reasons, ``output_cap`` the cap in tokens that the
    router gave the call, ``cost_usd`` what it has cost, and ``remaining`` what its budgets have
    left. ``cache`` is ``hit`` where nobody was asked, and ``stored_at`` says when that answer was
    stored.
    """

    def __init__(self, opened: OpenCall, attempt: Attempt, *, cached_at: str = "") -> None:
        self._opened = opened
        self._said: dict[str, Any] = {
            "model": opened.spec.model,
            "candidate": attempt.index,
            "passed_over": attempt.passed_over,
        }
        if cached_at:
            self._said.update(cache="hit", stored_at=cached_at)
        elif opened.spec.cap_is_ours:
            self._said["output_cap"] = opened.spec.size.output_cap

    def on(self, answer: Any) -> Any:
        """Return a copy of an answer or a chunk that says so; what is neither as it is."""
        if not isinstance(answer, ChatResponse | CompletionResponse):
            return answer
        beside = {**answer.additional_kwargs, NOTE_KEY: self._said}
        return answer.model_copy(update={"additional_kwargs": beside})

    def end(self) -> None:
        """Say what the call has cost, now that it has ended."""
        if self._opened.outcome is not None:
            self._said["cost_usd"] = usd_string(self._opened.outcome.cost)
            self._said["remaining"] = self._opened.remaining


def candidate_of(answer: object) -> int | None:
    """Return the place of the model that gave an answer; `None` where nothing says."""
    note = (getattr(answer, "additional_kwargs", None) or {}).get(NOTE_KEY) or {}
    index = note.get("candidate")
    return index if isinstance(index, int) else None
