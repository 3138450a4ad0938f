"""`CostLogger`: records LiteLLM's calls after they were made."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

from litellm.integrations.custom_logger import CustomLogger

from llmcost_litellm.gate import CALL_ID, OURS
from llmcost_plugins import reported
from llmcost_plugins.calls import CallSpec, OpenCall
from llmcost_plugins.given import tracker_given
from llmcost_plugins.labels import make_labels, take_labels
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.reported.events import answer_bytes
from llmcost_plugins.tracker import CostTracker, default_tracker

_METADATA: Final = ("metadata", "litellm_metadata")


class CostLogger(CustomLogger):
    """Records what LiteLLM's calls cost: ``litellm.callbacks.append(CostLogger(tracker))``.

    LiteLLM tells of a call after it has returned, in a thread of its own, and of an abandoned
    stream not at all: nothing is held, no call is stopped, and a budget only counts. Use `CostGate`
    where budgets have to hold. Calls that a gate records are left to it.

    Args:
        tracker: where to record; by default the one set up by the environment variables.
        tags: words for the calls.
        labels: who causes them; those in the ``metadata`` of a call win over these.

    Raises:
        ConfigurationError: an argument or a setting cannot be used.
    """

    def __init__(
        self,
        tracker: CostTracker | None = None,
        *,
        tags: Iterable[str] = (),
        **labels: str | int | None,
    ) -> None:
        super().__init__()
        given = tracker_given(tracker, "CostLogger(tracker, feature='chat')")
        self.tracker = default_tracker() if given is None else given
        self._defaults = make_labels(labels, tags)

    def log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record an answer. Never raises."""
        try:
            if (opened := self._open(kwargs)) is not None:
                _settle(opened, kwargs, response_obj)
        except Exception:  # noqa: BLE001 - the answer has arrived
            self.tracker.note_failure("a call of LiteLLM could not be recorded")

    def log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Record a failure, which costs nothing. Never raises."""
        try:
            error = kwargs.get("exception")
            opened = self._open(kwargs) if isinstance(error, BaseException) else None
            if opened is not None and isinstance(error, BaseException):
                opened.fail(error)
        except Exception:  # noqa: BLE001 - see log_success_event
            self.tracker.note_failure("a failed call of LiteLLM could not be recorded")

    async def async_log_success_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Do what `log_success_event` does."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self, kwargs: Mapping[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Do what `log_failure_event` does."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    def _open(self, kwargs: Mapping[str, Any]) -> OpenCall | None:
        call_id = str(kwargs.get(CALL_ID) or uuid4())
        if call_id.startswith(OURS):
            return None
        params = kwargs.get("litellm_params")
        given = params if isinstance(params, Mapping) else {}
        found = (given.get(name) for name in _METADATA)
        metadata = next((one for one in found if isinstance(one, Mapping) and one), {})
        tags = metadata.get("tags")
        own = take_labels(
            self.tracker.label_keys, metadata, tags if isinstance(tags, list | tuple) else ()
        )
        spec = CallSpec(
            id=call_id,
            model=str(kwargs.get("model") or "unknown"),
            provider=kwargs.get("custom_llm_provider"),
            size=CallSize(0, None),
            labels=own,
            defaults=self._defaults,
        )
        return self.tracker.start_late(spec)


def _settle(opened: OpenCall, kwargs: Mapping[str, Any], answer: Any) -> None:
    usage = reported.read_usage(answer, provider=opened.spec.provider)
    served = reported.read_served_model(answer)
    if usage is None:
        usage = opened.estimated_usage(answer_bytes(answer) or None)
    end = opened.cached if kwargs.get("cache_hit") is True else opened.finish
    end(usage, served)
