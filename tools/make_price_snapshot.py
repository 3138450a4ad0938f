"""Make the price snapshot of the wheel from the price maps of one or more litellm releases.

    python tools/make_price_snapshot.py --date 2026-11-24 VERSION=MAP.json [VERSION=MAP.json ...]

Give the releases in any order, and the day on which the snapshot is made. The snapshot is the
union: an entry comes from the newest release that has it, and one that the newest release dropped
is marked ``"retired": VERSION`` with the release that had it last. Only fields that say what a
call costs, or which calls a model can do, are kept. The same maps give the same bytes. litellm's
map is MIT-licensed.
"""

import argparse
import hashlib
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

from llmcost_plugins.pricing.layouts import kept, pack
from llmcost_plugins.pricing.sources import numbers

TARGET = Path(__file__).parent.parent / "llmcost_plugins" / "pricing" / "data" / "prices.json.gz"


def unite(maps: dict[str, Path]) -> tuple[list[dict[str, str]], dict[str, dict[str, Any]]]:
    """Unite the maps of releases; return where the entries come from, oldest first, and them."""
    models: dict[str, dict[str, Any]] = {}
    origins: list[dict[str, str]] = []
    for version in sorted(maps, key=numbers):
        content = maps[version].read_bytes()
        origins.append({"litellm": version, "sha256": hashlib.sha256(content).hexdigest()})
        for name, entry in kept(json.loads(content)).items():
            models[name] = {**entry, "retired": version}
    newest = origins[-1]["litellm"]
    for entry in models.values():
        if entry["retired"] == newest:
            del entry["retired"]
    return origins, models


def a_map(argument: str) -> tuple[str, Path]:
    """Read ``VERSION=MAP.json``."""
    version, _, path = argument.partition("=")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version) or not Path(path).is_file():
        msg = f"{argument!r} is not VERSION=FILE, such as 1.110.2=map.json"
        raise argparse.ArgumentTypeError(msg)
    return version, Path(path)


def main(arguments: list[str] | None = None) -> int:
    """Write the snapshot; return the exit status."""
    parser = argparse.ArgumentParser(description="Make the price snapshot of the wheel.")
    parser.add_argument("maps", nargs="+", type=a_map, metavar="VERSION=MAP.json")
    parser.add_argument("--date", required=True, type=date.fromisoformat, help="the day it is made")
    parser.add_argument("--target", default=TARGET, type=Path, help="where to write it")
    options = parser.parse_args(arguments)
    origins, models = unite(dict(options.maps))
    header = {"format": 2, "date": options.date.isoformat(), "sources": origins}
    options.target.write_bytes(pack(header, models))
    retired = sum("retired" in entry for entry in models.values())
    print(
        f"{len(models)} models ({retired} retired) from "
        f"{', '.join(origin['litellm'] for origin in origins)}: "
        f"{options.target.stat().st_size} bytes in {options.target.name}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
