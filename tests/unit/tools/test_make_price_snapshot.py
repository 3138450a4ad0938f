import hashlib
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.pricing.layouts import unpack
from llmcost_plugins.pricing.maps import PriceMap

SCRIPT = Path(__file__).parents[3] / "tools" / "make_price_snapshot.py"
Make = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture
def main() -> Callable[[list[str]], int]:
    found: Callable[[list[str]], int] = runpy.run_path(str(SCRIPT))["main"]
    return found


@pytest.fixture
def make(main: Callable[[list[str]], int], tmp_path: Path) -> Make:
    def make(*maps: str) -> tuple[dict[str, Any], dict[str, Any]]:
        target = tmp_path / "snapshot.json.gz"
        assert main(["--date", "2026-11-24", "--target", str(target), *maps]) == 0
        header, stored = unpack(target.read_bytes())
        return header, dict(PriceMap(stored))

    return make


def write(path: Path, **models: dict[str, Any]) -> Path:
    path.write_text(json.dumps(models))
    return path


def test_an_entry_comes_from_the_newest_release_that_has_it(make: Make, tmp_path: Path) -> None:
    old = write(
        tmp_path / "old.json",
        a={"input_cost_per_token": 1},
        b={"mode": "chat"},
        back={"mode": "chat"},
    )
    middle = write(tmp_path / "middle.json", a={"input_cost_per_token": 3}, c={"mode": "chat"})
    new = write(tmp_path / "new.json", a={"input_cost_per_token": 2}, back={"mode": "embedding"})
    _, models = make(f"1.10.0={new}", f"1.8.0={old}", f"1.9.0={middle}")
    assert models == {
        "a": {"input_cost_per_token": 2},
        "b": {"mode": "chat", "retired": "1.8.0"},
        "back": {"mode": "embedding"},
        "c": {"mode": "chat", "retired": "1.9.0"},
    }


def test_it_says_what_it_is_made_of_and_when(make: Make, tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", a={"mode": "chat"})
    new = write(tmp_path / "new.json", b={"mode": "chat"})
    header, _ = make(f"1.10.0={new}", f"1.9.0={old}")
    assert header == {
        "format": 2,
        "date": "2026-11-24",
        "sources": [
            {"litellm": "1.9.0", "sha256": hashlib.sha256(old.read_bytes()).hexdigest()},
            {"litellm": "1.10.0", "sha256": hashlib.sha256(new.read_bytes()).hexdigest()},
        ],
    }


def test_only_what_says_the_price_or_what_the_model_can_do_is_kept(
    make: Make, tmp_path: Path
) -> None:
    entry = {
        "input_cost_per_token": 1,
        "input_dbu_cost_per_token": 5,
        "off_peak_pricing": {},
        "max_output_tokens": 9,
        "source": "somewhere",
        "supports_vision": True,
        "supports_web_search": False,
    }
    path = write(tmp_path / "map.json", a=entry, sample_spec={"input_cost_per_token": 0})
    _, models = make(f"1.0.0={path}")
    assert models == {
        "a": {
            "input_cost_per_token": 1,
            "off_peak_pricing": {},
            "max_output_tokens": 9,
            "supports_vision": True,
        }
    }


def test_the_same_maps_give_the_same_bytes(
    main: Callable[[list[str]], int], tmp_path: Path
) -> None:
    one = write(tmp_path / "one.json", a={"mode": "chat"}, b={"mode": "chat"})
    other = write(tmp_path / "other.json", b={"mode": "chat"}, a={"mode": "chat"})
    made = []
    for number, order in enumerate(([one, other], [other, one])):
        target = tmp_path / f"{number}.gz"
        maps = [f"1.{(one, other).index(path)}.0={path}" for path in order]
        assert main(["--date=2026-11-24", f"--target={target}", *maps]) == 0
        made.append(target.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--date", "2026-11-24"],
        ["1.0.0=MAP"],
        ["--date", "today", "1.0.0=MAP"],
        ["--date", "2026-11-24", "MAP"],
        ["--date", "2026-11-24", "1.0=MAP"],
        ["--date", "2026-11-24", "1.0.0=missing.json"],
    ],
)
def test_wrong_use_writes_nothing(
    main: Callable[[list[str]], int], arguments: list[str], tmp_path: Path
) -> None:
    path = write(tmp_path / "map.json", a={"mode": "chat"})
    target = tmp_path / "snapshot.json.gz"
    given = [argument.replace("MAP", str(path)) for argument in arguments]
    with pytest.raises(SystemExit, match="2"):
        main([f"--target={target}", *given])
    assert not target.exists()
