"""The catalog: model names to prices, with how the name was matched."""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.rates import (
    LOCAL_PROVIDERS,
    Prices,
    compile_prices,
    local_prices,
)
from llmcost_plugins.pricing.sources import (
    Source,
    installed_map,
    installed_version,
    load_map,
    packaged_snapshot,
)


class Match(StrEnum):
    """How a name was matched with an entry of the price map."""

    EXACT = "exact"
    """The name, or the provider with the name, is a key of the map; or it is served locally."""
    STRIPPED = "stripped"
    """The name without its snapshot date is a key; its price may differ from the snapshot's."""
    STAND_IN = "stand-in"
    """The name is a key of another provider; this one may ask another price."""
    UNKNOWN = "unknown"
    """No entry, or an entry without a usable price."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the catalog knows of a name.

    Attributes:
        name: the name that was asked for.
        model: the canonical key; the name itself when it is unknown.
        provider: LiteLLM's name of the provider that is asked, e.g. ``vertex_ai``; ``unknown`` when
            neither the framework nor the catalog says.
        match: how the name was matched.
        prices: the unit prices, or `None`.
        reason: why there are no prices; empty when there are.
    """

    name: str
    model: str
    provider: str
    match: Match
    prices: Prices | None
    reason: str = ""


# Providers as LangChain (`ls_provider`), LlamaIndex (class names) and users call them, to the
# names that LiteLLM uses as key prefix and as `litellm_provider`; the last is the main one.
_PROVIDERS: Final = {
    "openai": ("text-completion-openai", "openai"),
    "openai_responses": ("openai",),
    "cohere": ("cohere_chat", "cohere"),
    "google_genai": ("gemini",),
    "google_vertexai": ("vertex_ai",),
    "amazon_bedrock": ("bedrock_converse", "bedrock"),
    "bedrock": ("bedrock_converse", "bedrock"),
    "mistralai": ("mistral",),
    "together": ("together_ai",),
    "fireworks": ("fireworks_ai",),
}
_NAMES_KEPT: Final = 10_000
_DATE: Final = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")


class Catalog:
    """Resolves model names; compiles an entry of the price map when it is first asked for.

    Args:
        source: the prices, see `Catalog.load`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._compiled: dict[str, Prices | str] = {}
        self._resolved: dict[tuple[str, str | None], Resolution] = {}

    @classmethod
    def load(cls, *, map_file: Path | None = None) -> "Catalog":
        """Load the newest prices at hand: the packaged snapshot or an installed litellm's map.

        A newer map is laid over the snapshot, so that a model which litellm dropped keeps its last
        known price.

        Args:
            map_file: the litellm map to use instead of looking for an installed litellm.

        Raises:
            ConfigurationError: *map_file* is no such map. (An installed one that is broken is
                passed over.)
        """
        snapshot = packaged_snapshot()
        path = map_file or installed_map()
        version = installed_version(path) if path else ()
        newer = None
        if path and (map_file or version > snapshot.version):
            newer = load_map(path, version)
        if map_file and newer is None:
            msg = f"{str(map_file)!r} is not a price map of LiteLLM: JSON, one object a model"
            raise ConfigurationError(msg)
        if newer is None:
            return cls(snapshot)
        fingerprint = f"{snapshot.fingerprint[:8]}{newer.fingerprint[:8]}"
        models = {**snapshot.models, **newer.models}
        return cls(Source(newer.name, newer.version, fingerprint, models))

    @property
    def fingerprint(self) -> str:
        """Identify the prices in force; stored with every entry."""
        return self._source.fingerprint

    @property
    def source(self) -> str:
        """Say where the prices come from, for people."""
        return self._source.name

    def __len__(self) -> int:
        return len(self._source.models)

    def resolve(self, name: str, provider: str | None = None) -> Resolution:
        """Find the prices of *name* as a framework reports it, with its provider where known.

        Deterministic; remembered per name. Case matters first, then not.
        """
        key = (name, provider)
        known = self._resolved.get(key)
        if known is None:
            if len(self._resolved) >= _NAMES_KEPT:
                self._resolved.clear()
            known = self._resolved[key] = self._resolve(name, provider)
        return known

    def _resolve(self, name: str, provider: str | None) -> Resolution:
        local = self._local(name, provider)
        if local is not None:
            return local
        reason = "it is not in the price map"
        for model, match in self._candidates(name, provider):
            found = self._prices(model)
            if isinstance(found, Prices):
                asked = _main_name(provider) if match is Match.STAND_IN else found.provider
                return Resolution(name, model, asked, match, found)
            reason = found
        return Resolution(name, name, _main_name(provider), Match.UNKNOWN, None, reason)

    def _local(self, name: str, provider: str | None) -> Resolution | None:
        prefix, slash, rest = name.partition("/")
        serving, model = (provider, name) if provider else (prefix if slash else "", rest)
        if serving not in LOCAL_PROVIDERS:
            return None
        model = f"{serving}/{model.removeprefix(f'{serving}/')}"
        return Resolution(name, model, serving, Match.EXACT, local_prices(model, serving))

    def _candidates(self, name: str, provider: str | None) -> Iterator[tuple[str, Match]]:
        name = name.removeprefix("models/")  # as Google's clients write it
        undated = _DATE.sub("", name)
        spellings = [(name, Match.EXACT)]
        if undated != name:
            spellings.append((undated, Match.STRIPPED))
        for spelling, match in spellings:
            for key in self._keys(spelling, provider):
                yield key, match
        if provider:
            for spelling, _ in spellings:
                for key in self._keys(spelling, None):
                    yield key, Match.STAND_IN

    def _keys(self, name: str, provider: str | None) -> Iterator[str]:
        """Yield the keys that mean *name*, served by *provider* when one is named."""
        prefix, slash, rest = name.partition("/")
        providers = _PROVIDERS.get(provider, (provider,)) if provider else ()
        spelled = [f"{known}/{name}" for known in providers] if provider else []
        spelled.append(name)
        for key in spelled:
            actual = self._actual(key)
            if actual and (not provider or self._serves(actual, providers)):
                yield actual
        if slash and not (provider and prefix not in providers):
            actual = self._actual(rest)
            if actual and self._serves(actual, (prefix.lower(),)):
                yield actual

    def _actual(self, key: str) -> str | None:
        return key if key in self._source.models else self._folded.get(key.lower())

    def _serves(self, key: str, providers: tuple[str | None, ...]) -> bool:
        # LiteLLM splits Vertex into vertex_ai-language-models, vertex_ai-anthropic_models, …
        serving = str(self._source.models[key].get("litellm_provider", ""))
        return serving in providers or serving.partition("-")[0] in providers

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {key.lower(): key for key in self._source.models}

    def _prices(self, model: str) -> Prices | str:
        found = self._compiled.get(model)
        if found is None:
            found = self._compiled[model] = compile_prices(model, self._source.models[model])
        return found


def _main_name(provider: str | None) -> str:
    return _PROVIDERS.get(provider, (provider,))[-1] if provider else "unknown"


_lock = threading.Lock()
_shared: list[Catalog] = []


def shared_catalog() -> Catalog:
    """Return the catalog that all trackers of this process share; loaded at the first call."""
    with _lock:
        if not _shared:
            _shared.append(Catalog.load())
        return _shared[0]
