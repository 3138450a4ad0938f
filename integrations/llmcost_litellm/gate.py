"""`CostGate`: LiteLLM's functions, each call of which is held for before it is made.

LiteLLM's own callbacks fire after a call has returned, so that they cannot stop one.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.given import tracker_given
from llmcost_plugins.labels import make_labels
from llmcost_plugins.raw.requests import Api
from llmcost_plugins.raw.sending import Line
from llmcost_plugins.tracker import CostTracker, default_tracker

F = TypeVar("F", bound=Callable[..., Any])

CALL_ID: Final = "litellm_call_id"
OURS: Final = "llmcost-"
"""How the id of a call begins that a gate records, so that a `CostLogger` leaves it alone."""

_APIS: Final = {
    "completion": Api.CHAT,
    "acompletion": Api.CHAT,
    "text_completion": Api.COMPLETIONS,
    "atext_completion": Api.COMPLETIONS,
    "responses": Api.RESPONSES,
    "aresponses": Api.RESPONSES,
    "embedding": Api.EMBEDDINGS,
    "aembedding": Api.EMBEDDINGS,
}
_CAPS: Final = {
    # LiteLLM translates it for each provider and model.
    Api.CHAT: "max_tokens",
    Api.COMPLETIONS: "max_tokens",
    Api.RESPONSES: "max_output_tokens",
}


class CostGate:
    """Stands before LiteLLM's functions: ``gate.completion(...)``, not ``litellm.completion(...)``.

    It has ``completion``, ``text_completion``, ``responses``, ``embedding`` and their asynchronous
    forms, with the arguments that LiteLLM gives them; `around` does the same for the methods of a
    ``litellm.Router``. Answers and streams are passed on as they are. An answer from LiteLLM's own
    cache costs nothing and is recorded as saved.

    Args:
        tracker: where to record; by default the one set up by the environment variables.
        caps: whether answers without a cap get one, which a budget may lower.
        stream_usage: whether streams are asked for their usage.
        tags: words for the calls.
        labels: who causes them; `attribute` blocks win over these.

    Raises:
        ConfigurationError: an argument or a setting cannot be used.
    """

    def __init__(
        self,
        tracker: CostTracker | None = None,
        *,
        caps: bool = True,
        stream_usage: bool = True,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        given = tracker_given(tracker, "CostGate(tracker, feature='chat')")
        self.tracker = default_tracker() if given is None else given
        self._line = Line(
            self.tracker,
            make_labels(labels, tags),
            caps=_CAPS if caps else {},
            asks_for_usage=stream_usage,
            id_name=CALL_ID,
            id_prefix=OURS,
        )

    def around(self, function: F) -> F:
        """Return a function of LiteLLM's, or a method of its router, behind the gate.

        Calling it raises what it did before, and `BudgetExceeded`, `PriceUnknown` or
        `LedgerUnavailable` before anything is sent.

        Raises:
            ConfigurationError: it is none whose calls the gate can read.
        """
        name = getattr(function, "__name__", "")
        if name not in _APIS:
            msg = f"the gate does not know {function!r}; it stands before {', '.join(_APIS)}"
            raise ConfigurationError(msg)
        gated: Any = self._line.around(function, _APIS[name])
        return gated  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        if name not in _APIS:
            msg = f"a CostGate has no {name!r}; it stands before {', '.join(_APIS)}"
            raise AttributeError(msg)
        import litellm

        gated = self.around(getattr(litellm, name))
        self.__dict__[name] = gated
        return gated
