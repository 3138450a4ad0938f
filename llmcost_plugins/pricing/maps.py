"""A price map: LiteLLM's entries by model name, read when they are asked for.

At rest a map is a compressed JSON document with one entry on each line. To split its lines takes a
seventh of the time that parsing it does, and a third of the memory.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, Final

from llmcost_plugins.pricing.entries import main_provider
from llmcost_plugins.pricing.keys import parse_key

RawPrices = Mapping[str, Mapping[str, Any]]

NOT_MODELS: Final = frozenset({"sample_spec", "fallback_generalizations"})
ALIAS_OF: Final = "alias_of"
SEARCH_PRICES: Final = "search_context_cost_per_query"
SEARCH_SIZES: Final = tuple(f"search_context_size_{size}" for size in ("low", "medium", "high"))
FLAGS: Final = frozenset(
    {
        "supports_audio_input",
        "supports_function_calling",
        "supports_pdf_input",
        "supports_reasoning",
        "supports_response_schema",
        "supports_vision",
        "supports_web_search",
    }
)
"""What a model can do, as far as it decides whether a call may be given to it."""
_FACTS: Final = frozenset(
    {
        "litellm_provider",
        "mode",
        "max_tokens",
        "max_input_tokens",
        "max_output_tokens",
        "provider_specific_entry",
        "web_search_billing_unit",
        ALIAS_OF,
    }
)
_SAID_BY_NAME: Final = re.compile(r"cost|pricing|multiplier")
_PROVIDER: Final = re.compile(rb'"litellm_provider":"([^"]*)"')
_MODELS: Final = b',"models":{'
_END: Final = [b"}}", b""]
_DECODER: Final = json.JSONDecoder()
_WIDE: Final = Context(prec=60)


@lru_cache(maxsize=1024)
def is_kept(field: str) -> bool:
    """Tell whether a field of an entry says what a call costs, or which calls the model can do."""
    if field in _FACTS or field in FLAGS:
        return True
    return "_dbu_" not in field and bool(_SAID_BY_NAME.search(field))


def kept(models: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the entries of a map of LiteLLM with the fields that are kept.

    What a model cannot do is left out, and so is what is not the entry of a model.
    """
    return {
        name: {
            field: value
            for field, value in entry.items()
            if is_kept(field) and (value is True or field not in FLAGS)
        }
        for name, entry in models.items()
        if isinstance(entry, dict) and name not in NOT_MODELS
    }


def pack(header: Mapping[str, Any], models: RawPrices) -> bytes:
    """Write a map as it lies at rest; the same content gives the same bytes."""
    lines = (f"{_dump(name)}:{_dump(entry)}" for name, entry in sorted(models.items()))
    opening = _dump(header).removesuffix("}")
    text = f'{opening},"models":{{\n' + ",\n".join(lines) + "\n}}\n"
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def unpack(packed: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read what `pack` has written: the header, and the line of each model.

    Raises:
        ValueError: it is damaged, or something else.
    """
    try:
        text = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None
    opening, *lines = text.split(b"\n")
    if not opening.endswith(_MODELS) or lines[-2:] != _END:
        msg = "it is not a price map of this program"
        raise ValueError(msg)
    header = json.loads(opening.removesuffix(_MODELS) + b"}")
    del lines[-2:]
    return header, {_name(line): line for line in lines if line}


class PriceMap(Mapping[str, Mapping[str, Any]]):
    """Entries by model name; each is parsed anew whenever it is asked for.

    An entry that only names another one (``alias_of``) is that one.

    Args:
        stored: the entries, or their lines, see `unpack`.
        retired: models that newer maps lack, with the last release of litellm that had them.
        factors: what the prices of a provider's models are multiplied with.
    """

    def __init__(
        self,
        stored: Mapping[str, bytes | Mapping[str, Any]],
        retired: Mapping[str, str] | None = None,
        factors: Mapping[str, Decimal] | None = None,
    ) -> None:
        self.stored = stored
        self._retired = retired or {}
        self._factors = factors or {}

    @classmethod
    def of(cls, models: RawPrices) -> "PriceMap":
        """Return entries as a price map."""
        return models if isinstance(models, cls) else cls(models)

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        entry = self._read(name)
        if ALIAS_OF not in entry:
            return entry
        way, marks = [name], {mark: entry[mark] for mark in ("retired",) if mark in entry}
        while ALIAS_OF in entry:
            target = str(entry[ALIAS_OF])
            if target in way:
                return {"unpriced": f"it is an alias of itself: {' -> '.join([*way, target])}"}
            if target not in self.stored:
                return {"unpriced": f"it is an alias of {target!r}, which the price map lacks"}
            way.append(target)
            entry = self._read(target)
        return {**entry, **marks, ALIAS_OF: way[-1]}

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)

    def __contains__(self, name: object) -> bool:
        return name in self.stored

    def current(self) -> Iterator[str]:
        """Yield the models that the newest map has."""
        for name, stored in self.stored.items():
            marked = b'"retired":' in stored if isinstance(stored, bytes) else "retired" in stored
            if not marked and name not in self._retired:
                yield name

    def providers(self) -> set[str]:
        """Return the main names of all providers, without parsing any entry."""
        labels = set()
        for stored in self.stored.values():
            if isinstance(stored, bytes):
                found = _PROVIDER.search(stored)
                labels.add(found[1].decode() if found else "")
            else:
                labels.add(str(stored.get("litellm_provider", "")))
        return {main_provider(label) for label in labels} - {""}

    def over(self, older: "PriceMap", retired: str) -> "PriceMap":
        """Lay this map over an older one, whose further models count as retired.

        Args:
            older: the map whose models keep their last price.
            retired: the release of litellm that the older map is of.
        """
        gone = dict.fromkeys(older.stored.keys() - self.stored.keys(), retired)
        return PriceMap({**older.stored, **self.stored}, gone)

    def with_own(
        self, own: Mapping[str, Mapping[str, Any]], factors: Mapping[str, Decimal]
    ) -> "PriceMap":
        """Return the map with the user's own entries and discounts by provider in force."""
        return PriceMap({**self.stored, **own}, self._retired, factors)

    def _read(self, name: str) -> Mapping[str, Any]:
        stored = self.stored[name]
        if isinstance(stored, bytes):
            entry: Mapping[str, Any] = json.loads(b"{%b}" % stored.rstrip(b","))[name]
        else:
            entry = stored
        if name in self._retired and "retired" not in entry:
            entry = {**entry, "retired": self._retired[name]}
        if self._factors and not entry.get("is_final"):
            factor = self._factors.get(main_provider(str(entry.get("litellm_provider", ""))))
            return entry if factor is None else multiplied(entry, factor)
        return entry


def multiplied(entry: Mapping[str, Any], factor: Decimal) -> dict[str, Any]:
    """Return an entry with all its prices multiplied, those of bands and cheaper hours included."""
    return {
        field: _multiplied(value, factor, is_price=is_price(field))
        for field, value in entry.items()
    }


def is_price(field: str) -> bool:
    """Tell whether the number of a field is a price."""
    return field in SEARCH_SIZES or parse_key(field) is not None


def _multiplied(value: Any, factor: Decimal, *, is_price: bool) -> Any:
    if isinstance(value, Mapping):
        return multiplied(value, factor)
    if isinstance(value, list):
        return [_multiplied(item, factor, is_price=False) for item in value]
    if is_price and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _WIDE.multiply(Decimal(str(value)), factor)
    return value


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _name(line: bytes) -> str:
    name = line[1 : line.index(b'":{')]
    return name.decode() if b"\\" not in name else _DECODER.raw_decode(line.decode())[0]
