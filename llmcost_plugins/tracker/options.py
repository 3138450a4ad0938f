"""The settings of a tracker that travel with it to other processes."""

from datetime import timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmcost_plugins.billing import Policies
from llmcost_plugins.pricing import Mode
from llmcost_plugins.pricing.policy import UnknownModelPolicy

if TYPE_CHECKING:
    from llmcost_plugins.settings import Settings


class Options(NamedTuple):
    """Arguments of `CostTracker`, which says what they mean; without what is of one process."""

    zone: tzinfo
    hold_wait: timedelta
    hold_lease: timedelta
    call_max: timedelta
    max_output_tokens: int
    strict: bool
    shadow: bool
    unknown_model: UnknownModelPolicy
    estimate_mode: Mode
    prefer_stated_cost: bool
    allow_without_ledger: bool
    spool: tuple[Path, ...]

    @property
    def policies(self) -> Policies:
        """How calls are estimated and priced."""
        return Policies(
            self.unknown_model,
            self.estimate_mode,
            self.prefer_stated_cost,
            self.max_output_tokens,
            self.strict,
        )


def options_of(settings: "Settings") -> Options:
    """Return what the settings of environment and file say."""
    return Options(
        zone=settings.timezone,
        hold_wait=settings.hold_wait,
        hold_lease=settings.hold_lease,
        call_max=settings.call_max,
        max_output_tokens=settings.max_output_tokens,
        strict=settings.strict,
        shadow=settings.shadow,
        unknown_model=settings.unknown_model,
        estimate_mode=settings.estimate,
        prefer_stated_cost=settings.prefer_stated_cost,
        allow_without_ledger=settings.ledger_errors == "allow",
        spool=settings.spool_folders(),
    )
