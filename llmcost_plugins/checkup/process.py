"""What this process runs with: versions, settings, prices."""

import platform
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from llmcost_plugins.checkup.facts import Fact
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.money import usd_string
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.policy import UnknownModelPolicy
from llmcost_plugins.pricing.sources import Origin
from llmcost_plugins.settings import Settings, switch

_PACKAGES: Final = (
    "llmcost-plugins",
    "langchain-core",
    "langchain",
    "langchain-openai",
    "langchain-anthropic",
    "langgraph",
    "llama-index-core",
    "llama-index-instrumentation",
    "llama-index-workflows",
    "llama-index-llms-openai",
    "llama-index-llms-anthropic",
    "llama-index-llms-google-genai",
    "llama-index-llms-bedrock-converse",
    "llama-index-llms-litellm",
    "litellm",
    "openai",
    "anthropic",
    "diskcache",
    "pydantic-settings",
)
_OLD: Final = timedelta(days=90)


def versions() -> Iterator[Fact]:
    """Yield what is installed, without importing it."""
    # Not at the top: it takes 30 ms.
    from importlib.metadata import PackageNotFoundError, version

    yield Fact("versions", "Python", platform.python_version())
    yield Fact("versions", "SQLite", sqlite3.sqlite_version)
    for name in _PACKAGES:
        try:
            yield Fact("versions", name, version(name))
        except PackageNotFoundError:
            continue


def settings_in_force(settings: Settings) -> Iterator[Fact]:
    """Yield every setting with where it comes from; of secrets only whether they are set."""
    try:
        on = switch.is_enabled()
        source = "environment" if on else "default"
        yield Fact("settings", "enabled", "true" if on else "false", source)
    except ConfigurationError as error:
        remedy = f"set {switch.VARIABLE} to true or false"
        yield Fact("settings", "enabled", "?", "environment", str(error), remedy)
    for name in Settings.model_fields:
        yield Fact("settings", name, _shown(getattr(settings, name)), settings.source(name))


def price_map(settings: Settings, now: datetime) -> Iterator[Fact]:
    """Yield where the prices in force come from, and how old they are."""
    try:
        catalog = shared_catalog(settings.fetched_prices, settings.prices)
    except ConfigurationError as error:
        remedy = "mend or remove the file that it names"
        yield Fact("prices", "catalog", "cannot be used", "", str(error), remedy)
        return
    yield Fact("prices", "catalog", f"{len(catalog):,} models", catalog.source)
    yield Fact("prices", "fingerprint", catalog.fingerprint)
    for origin in catalog.sources:
        told = " ".join(part for part in (origin.date[:10], origin.fingerprint) if part)
        yield Fact("prices", "part", told, origin.name)
    # Own prices say neither; an installed litellm, which has no date, is newer than all before it.
    maps = [origin for origin in catalog.sources if origin.version or origin.date]
    if maps and maps[-1].date:
        yield _age(maps[-1], now)


def _age(origin: Origin, now: datetime) -> Fact:
    try:
        # Never negative: a map may be of a day that has not yet begun here.
        age = max(now.date() - date.fromisoformat(origin.date[:10]), timedelta(0))
    except ValueError:
        return Fact("prices", "age", "?", origin.name)
    if age <= _OLD:
        return Fact("prices", "age", f"{age.days} days", origin.name)
    why = f"the prices are older than {_OLD.days} days"
    remedy = "fetch newer ones with 'llmcost prices update'"
    return Fact("prices", "age", f"{age.days} days", origin.name, why, remedy)


def _shown(value: object) -> str:
    """Write a setting's value for people, without what nobody else may know."""
    if isinstance(value, SecretStr):
        return "set, not shown" if value.get_secret_value() else "-"
    if isinstance(value, UnknownModelPolicy):
        return _policy(value)
    if isinstance(value, tuple):
        value = "; ".join(map(str, value))
    elif isinstance(value, timedelta):
        value = f"{Decimal(str(value.total_seconds())).normalize():f} s"
    elif isinstance(value, bool):
        value = str(value).lower()
    return "-" if value is None or value == "" else _without_secrets(str(value))


def _policy(policy: UnknownModelPolicy) -> str:
    if policy.refuse or not any(policy.ceiling):
        return "refuse" if policy.refuse else "free"
    return f"ceiling:{','.join(map(usd_string, policy.ceiling))}"


def _without_secrets(text: str) -> str:
    """Leave the host alone of an address: the rest of a webhook's is often its key."""
    scheme, mark, rest = text.partition("://")
    if not mark or not rest or rest.startswith("/"):
        return text
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    return f"{scheme}://{host or '?'}/…"
