"""What was used elsewhere: by batches, by other languages, in imported logs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Call
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.reported import read_served_model, read_usage
from llmcost_plugins.usage import Usage

_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A call that was made elsewhere, as `Billing` prices it.

    Attributes:
        spec: what is known of it.
        call: the same as the ledger knows it.
    """

    spec: CallSpec
    call: Call


def usage_from(report: object, provider: str | None) -> Usage:
    """Return a usage, or that of a provider's report.

    Raises:
        ConfigurationError: no usage can be found in it.
    """
    found = report if isinstance(report, Usage) else read_usage(report, provider=provider)
    if found is None:
        msg = (
            f"no usage can be found in {repr(report)[:_SHOWN]}; pass a Usage, or a provider's "
            f"report such as {{'prompt_tokens': 10, 'completion_tokens': 5}}"
        )
        raise ConfigurationError(msg)
    return found


def served_from(report: object) -> str | None:
    """Return the model that a provider's answer names, if it is one."""
    return None if isinstance(report, Usage) else read_served_model(report)


def spec_of(
    call_id: str,
    model: str,
    provider: str | None,
    labels: Mapping[str, object],
    tags: Iterable[str],
) -> CallSpec:
    """Describe a call that was made elsewhere.

    Raises:
        ConfigurationError: the model or the id is empty, or a label cannot be used.
    """
    for name, value in (("model", model), ("request_id", call_id)):
        if not value.strip():
            msg = f"{name}={value!r} is no name; a good value is a word such as 'gpt-4o'"
            raise ConfigurationError(msg)
    return CallSpec(call_id, model, provider, CallSize(0, 0), make_labels(labels, tags))


def aware(at: datetime) -> datetime:
    """Return *at*.

    Raises:
        ConfigurationError: it has no time zone, so that it could mean any of 24 hours.
    """
    if at.tzinfo is None:
        msg = f"at={at.isoformat()!r} has no time zone; pass e.g. datetime.now(UTC)"
        raise ConfigurationError(msg)
    return at
