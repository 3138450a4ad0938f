"""Takes a newer price map into use: looks at it first, and stores it whole or not at all."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.comparing import JUMP, Change, compiled, differences
from llmcost_plugins.pricing.entries import mistake_in
from llmcost_plugins.pricing.layouts import RawPrices, kept, pack
from llmcost_plugins.pricing.loading import litellm_at_hand
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.sources import Source
from llmcost_plugins.private_files import write_privately

DEFAULT_URL: Final = (
    "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
)
FEWEST: Final = 1000
"""A map with fewer models that have a price is not LiteLLM's, or not whole."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A map that was looked at.

    Attributes:
        models: its entries.
        sha256: of the file.
        priced: how many models have a usable price.
        problems: why it cannot be used.
        doubts: what someone has to look at before it is used, the worst first.
    """

    models: RawPrices
    sha256: str
    priced: int = 0
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def examine(content: bytes, current: Source, *, fewest: int = FEWEST) -> Examined:
    """Look at a price map of LiteLLM before it is used.

    Args:
        content: the file.
        current: the map in force, without prices of the user's own.
        fewest: so many models must have a price.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        parsed = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return Examined({}, sha256, problems=(f"it is not JSON: {error}",))
    if not isinstance(parsed, dict):
        return Examined({}, sha256, problems=("it is not a JSON object of models",))
    models = PriceMap(kept(parsed))
    before = PriceMap.of(current.models)
    known = list(before.current())
    old, new = compiled(before, known), compiled(models, models)
    return Examined(
        models,
        sha256,
        len(new),
        tuple(_problems(models, len(new), len(known), fewest)),
        tuple(_doubts(models, before, old, new)),
    )


def store(path: Path, examined: Examined, origin: str, now: datetime) -> None:
    """Put a map where it is loaded from, at once and as a whole.

    Args:
        path: the file; its folder is made where it is missing, for its owner only.
        examined: the map.
        origin: the address or the file that it comes from.
        now: the current instant.

    Raises:
        ConfigurationError: it cannot be written.
    """
    header = {
        "fetched_at": now.astimezone(UTC).isoformat(timespec="seconds"),
        "format": 2,
        "from": origin,
        "litellm_at_hand": litellm_at_hand(),
        "sha256": examined.sha256,
    }
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_privately(path, pack(header, examined.models))
    except OSError as error:
        msg = (
            f"the prices cannot be stored in {str(path)!r}: {error.strerror}; make the folder "
            f"writable"
        )
        raise ConfigurationError(msg) from None


def _no_number(text: str) -> Any:
    msg = f"it has {text} for a number"
    raise ValueError(msg)


def _problems(models: RawPrices, priced: int, known: int, fewest: int) -> Iterator[str]:
    if priced < fewest:
        yield f"only {priced:,} of its models have a price; at least {fewest:,} must"
    if 2 * len(models) < known:
        yield f"it has {len(models):,} models, less than half of the {known:,} in force"


def _doubts(
    models: RawPrices, before: RawPrices, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[str]:
    mistakes = {name: mistake for name in models if (mistake := mistake_in(models[name]))}
    for name, mistake in mistakes.items():
        if not (name in before and mistake_in(before[name])):
            yield f"{name}: {mistake}"
    for name in old:
        if name in models and name not in new and name not in mistakes:
            yield f"{name}: it has lost its price"
    jumps = (change for change in differences(old, new).changed if change.factor > JUMP)
    for change in sorted(jumps, key=lambda change: (-change.factor, change.model)):
        yield _said(change)


def _said(change: Change) -> str:
    when = f" ({change.when})" if change.when else ""
    size = f"{change.factor:.1f} times" if change.factor.is_finite() else "from or to nothing"
    return (
        f"{change.model}: {change.meter}{when} from {change.old:f} to {change.new:f} USD a "
        f"{change.unit or 'factor'}, {size}"
    )
