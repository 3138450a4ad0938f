"""Make the price snapshot of the wheel from the price maps of one or more litellm releases.

    python tools/make_price_snapshot.py VERSION=MAP.json [VERSION=MAP.json ...]

Give the releases in any order; without arguments the installed litellm's map is read. The snapshot
is the union: an entry comes from the newest release that has it, and one that the newest release
dropped is marked ``"retired": VERSION`` with the release that had it last. Only fields that say
what a call costs or how large it may be are kept. litellm's map is MIT-licensed.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from llmcost_plugins.pricing import sources

TARGET = Path(__file__).parent.parent / "llmcost_plugins" / "pricing" / "data" / "prices.json.gz"
KEPT = {
    "litellm_provider",
    "mode",
    "max_tokens",
    "max_input_tokens",
    "max_output_tokens",
    "supports_reasoning",
}


def is_kept(field: str) -> bool:
    """Tell whether a field of an entry belongs in the snapshot."""
    return field in KEPT or ("_dbu_" not in field and ("cost" in field or "pricing" in field))


def merge(maps: list[tuple[tuple[int, ...], str, Path]]) -> dict[str, Any]:
    """Unite the maps, oldest first, into the content of the snapshot."""
    models: dict[str, dict[str, Any]] = {}
    origins: list[dict[str, str]] = []
    for _, version, path in sorted(maps):
        content = path.read_bytes()
        origins.append({"litellm": version, "sha256": hashlib.sha256(content).hexdigest()})
        for name, entry in json.loads(content).items():
            if name not in sources.NOT_MODELS:
                kept = {field: value for field, value in entry.items() if is_kept(field)}
                models[name] = {**kept, "retired": version}
    newest = origins[-1]["litellm"]
    for entry in models.values():
        if entry["retired"] == newest:
            del entry["retired"]
    return {"format": 1, "sources": origins, "models": dict(sorted(models.items()))}


def main(arguments: list[str]) -> int:
    """Write the snapshot; return the exit status."""
    maps = []
    for argument in arguments:
        version, _, path = argument.partition("=")
        maps.append((tuple(map(int, version.split("."))), version, Path(path)))
    installed = sources.installed_map()
    if not maps and installed:
        numbers = sources.installed_version(installed)
        maps.append((numbers, ".".join(map(str, numbers)), installed))
    if not maps:
        sys.stderr.write("litellm is not installed; install it or pass VERSION=MAP.json\n")
        return 2
    snapshot = merge(maps)
    text = json.dumps(snapshot, separators=(",", ":"), sort_keys=True)
    # Without a time stamp the same maps give the same bytes.
    TARGET.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    retired = sum("retired" in entry for entry in snapshot["models"].values())
    sys.stdout.write(
        f"{len(snapshot['models'])} models ({retired} retired) from "
        f"{', '.join(origin['litellm'] for origin in snapshot['sources'])}: "
        f"{TARGET.stat().st_size} bytes in {TARGET.name}\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
