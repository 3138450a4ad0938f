"""Where prices come from: the snapshot in the wheel, an installed litellm, a fetched map.

litellm itself is never imported: that takes seconds, about 200 MB, and a request to the network.
"""

import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.layouts import RawPrices, kept, unpack
from llmcost_plugins.pricing.maps import PriceMap

_MAP_NAME: Final = "model_prices_and_context_window_backup.json"
_SNAPSHOT: Final = "prices.json.gz"


class Origin(NamedTuple):
    """One of the places that the prices in force come from.

    Attributes:
        name: what it is, for people.
        version: litellm's version, e.g. ``1.109.1``; empty when unknown.
        date: the day or the instant that its prices are of, in ISO form; empty when unknown.
        fingerprint: the first 16 hexadecimal digits of its SHA-256.
    """

    name: str
    version: str
    date: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Source:
    """One body of prices.

    Attributes:
        name: what it is, for people, e.g. ``litellm 1.109.1 (installed)``.
        version: litellm's version as numbers, to tell which is newer; of a fetched map, the newest
            one that was at hand then.
        fingerprint: 16 hexadecimal digits that identify it.
        models: LiteLLM's entries by model name.
        date: see `Origin`.
        aliases: names of the user's own to the models that they are priced as.
        origins: where it comes from when it was put together; the later ones win.
    """

    name: str
    version: tuple[int, ...]
    fingerprint: str
    models: RawPrices
    date: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()


def digest(content: bytes) -> str:
    """Return the fingerprint of a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]


def combined(*fingerprints: str) -> str:
    """Return the fingerprint of several bodies of prices in force together."""
    return digest(":".join(fingerprints).encode())


def packaged_snapshot() -> Source:
    """Read the snapshot in the wheel: the union of several litellm releases."""
    packed = resources.files("llmcost_plugins.pricing").joinpath("data", _SNAPSHOT).read_bytes()
    header, stored = unpack(packed)
    version = header["sources"][-1]["litellm"]
    name = f"snapshot of litellm {version} in the package"
    return _source(name, version, header["date"], digest(packed), PriceMap(stored))


def installed_map() -> Path | None:
    """Find the price map of an installed litellm without importing it."""
    try:
        spec = importlib.util.find_spec("litellm")
    except (ImportError, ValueError):
        # A stub in sys.modules without a spec raises ValueError.
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _MAP_NAME
        if path.is_file():
            return path
    return None


def installed_version(map_file: Path) -> tuple[int, ...]:
    """Tell the version of the litellm that *map_file* belongs to; empty when unknown.

    Read from the name of the metadata folder beside the package: importlib.metadata takes 30 ms.
    """
    site = map_file.parent.parent
    found = (
        numbers(match[1])
        for folder in site.glob("litellm-*.dist-info")
        if (match := re.fullmatch(r"litellm-(.+)\.dist-info", folder.name))
    )
    return max(found, default=())


def load_map(map_file: Path, version: tuple[int, ...]) -> Source | None:
    """Read a price map of litellm; `None` when it is not a usable one."""
    try:
        content = map_file.read_bytes()
        models = json.loads(content)
    except (OSError, ValueError, RecursionError):
        return None
    entries = kept(models) if isinstance(models, dict) else {}
    if not entries:
        return None
    number = ".".join(map(str, version))
    name = f"litellm {number} (installed)" if version else f"the price map {str(map_file)!r}"
    return _source(name, number, "", digest(content), PriceMap(entries))


def fetched_map(path: Path) -> Source | None:
    """Read the map that ``llmcost prices update`` has stored; `None` when there is none.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(_broken(path, str(error.strerror))) from None
    try:
        header, stored = unpack(packed)
        date, known = header["fetched_at"], header["litellm_at_hand"]
        name = f"the map fetched from {header['from']}"
        found = _source(name, "", date, header["sha256"][:16], PriceMap(stored))
        return replace(found, version=numbers(known))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(_broken(path, f"{type(error).__name__}: {error}")) from None


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, to compare it."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _source(name: str, version: str, date: str, fingerprint: str, models: PriceMap) -> Source:
    origin = Origin(name, version, date, fingerprint)
    return Source(name, numbers(version), fingerprint, models, date, origins=(origin,))


def _broken(path: Path, why: str) -> str:
    return (
        f"the fetched prices in {str(path)!r} cannot be read ({why}); fetch them anew with "
        f"'llmcost prices update', or delete the file"
    )
