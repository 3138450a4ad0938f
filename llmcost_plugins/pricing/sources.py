"""Where prices come from: the snapshot in the wheel, and the map of an installed litellm.

litellm itself is never imported: that takes seconds, about 200 MB, and a request to the network.
"""

import gzip
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

_MAP_NAME: Final = "model_prices_and_context_window_backup.json"
_SNAPSHOT: Final = "prices.json.gz"
NOT_MODELS: Final = frozenset({"sample_spec", "fallback_generalizations"})

RawPrices = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """One body of prices.

    Attributes:
        name: what it is, for people, e.g. ``litellm 1.109.1 (installed)``.
        version: litellm's version as numbers, to tell which is newer.
        fingerprint: the first 16 hexadecimal digits of its SHA-256.
        models: LiteLLM's entries by model name.
    """

    name: str
    version: tuple[int, ...]
    fingerprint: str
    models: RawPrices


def packaged_snapshot() -> Source:
    """Read the snapshot in the wheel: the union of several litellm releases."""
    packed = resources.files("llmcost_plugins.pricing").joinpath("data", _SNAPSHOT).read_bytes()
    content = json.loads(gzip.decompress(packed))
    newest = content["sources"][-1]
    return Source(
        name=f"snapshot of litellm {newest['litellm']} in the package",
        version=_numbers(newest["litellm"]),
        fingerprint=hashlib.sha256(packed).hexdigest()[:16],
        models=content["models"],
    )


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
        _numbers(match[1])
        for folder in site.glob("litellm-*.dist-info")
        if (match := re.fullmatch(r"litellm-(.+)\.dist-info", folder.name))
    )
    return max(found, default=())


def load_map(map_file: Path, version: tuple[int, ...]) -> Source | None:
    """Read a price map of litellm; `None` when it is not a usable one."""
    try:
        content = map_file.read_bytes()
        models = json.loads(content)
    except (OSError, ValueError):
        return None
    if not isinstance(models, dict):
        return None
    entries = {
        name: entry
        for name, entry in models.items()
        if isinstance(entry, dict) and name not in NOT_MODELS
    }
    if not entries:
        return None
    number = ".".join(map(str, version))
    return Source(
        name=f"litellm {number} (installed)" if version else f"the price map {str(map_file)!r}",
        version=version,
        fingerprint=hashlib.sha256(content).hexdigest()[:16],
        models=entries,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
