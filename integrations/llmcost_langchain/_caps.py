"""The output cap that `CostMiddleware` sets where nobody has."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmcost_langchain._calls import cap_parameter, name_of
from llmcost_langchain._holding import Request
from llmcost_langchain._messages import chat_size
from llmcost_langchain.router import FallbackRouter
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.capping import shorter_cap
from llmcost_plugins.errors import BudgetExceeded

if TYPE_CHECKING:
    from llmcost_plugins.tracker import CostTracker


@dataclass(frozen=True, slots=True)
class Cap:
    """The output cap of a request that has none of its own.

    Attributes:
        name: the parameter; empty where the cap is not ours to set.
        tokens: the longest answer.
    """

    name: str = ""
    tokens: int = 0

    def on(self, request: Request) -> Request:
        """Return the request with this cap."""
        if not self.name:
            return request
        return request.override(model_settings={**request.model_settings, self.name: self.tokens})

    def lowered(
        self, tracker: "CostTracker", spec: CallSpec, error: BudgetExceeded, *, is_last: bool
    ) -> "Cap | None":
        """Return the cap that the refusing budget still buys, if that is of use."""
        if not self.name:
            return None
        tokens = shorter_cap(tracker, spec, error.refusal, is_last=is_last)
        return None if tokens is None else replace(self, tokens=tokens)


def cap_for(request: Request, tracker: "CostTracker") -> Cap:
    """Return the cap to set on a request whose model has none; a router sets its own."""
    model, settings = request.model, request.model_settings
    if isinstance(model, FallbackRouter):
        return Cap()
    params = model._get_invocation_params(**settings)  # noqa: SLF001 - see `name_of`
    metadata = dict(model._get_ls_params(**settings))  # noqa: SLF001 - see `name_of`
    name = name_of(model)
    size = chat_size(tracker.sizer(name.model), request.messages, params, metadata)
    if size.output_cap is not None:
        return Cap()
    prices = tracker.catalog.resolve(name.model, name.provider).prices
    return Cap(cap_parameter(name.provider), tracker.output_cap(prices, size))
