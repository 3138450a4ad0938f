import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "make_price_snapshot.py"
Merge = Callable[[list[tuple[tuple[int, ...], str, Path]]], dict[str, Any]]


@pytest.fixture
def merge() -> Merge:
    found: Merge = runpy.run_path(str(SCRIPT))["merge"]
    return found


def write(path: Path, **models: dict[str, Any]) -> Path:
    path.write_text(json.dumps(models))
    return path


def test_an_entry_comes_from_the_newest_release_that_has_it(merge: Merge, tmp_path: Path) -> None:
    old = write(tmp_path / "old.json", a={"input_cost_per_token": 1}, b={"mode": "chat"})
    new = write(tmp_path / "new.json", a={"input_cost_per_token": 2})
    snapshot = merge([((1, 10, 0), "1.10.0", new), ((1, 9, 0), "1.9.0", old)])
    assert snapshot["models"]["a"] == {"input_cost_per_token": 2}
    assert snapshot["models"]["b"] == {"mode": "chat", "retired": "1.9.0"}
    assert [source["litellm"] for source in snapshot["sources"]] == ["1.9.0", "1.10.0"]


def test_only_what_says_the_price_or_the_size_is_kept(merge: Merge, tmp_path: Path) -> None:
    entry = {
        "input_cost_per_token": 1,
        "input_dbu_cost_per_token": 5,
        "off_peak_pricing": {},
        "max_output_tokens": 9,
        "source": "somewhere",
        "supports_vision": True,
    }
    path = write(tmp_path / "map.json", a=entry, sample_spec={"input_cost_per_token": 0})
    snapshot = merge([((1, 0, 0), "1.0.0", path)])
    assert set(snapshot["models"]) == {"a"}
    assert set(snapshot["models"]["a"]) == {
        "input_cost_per_token",
        "off_peak_pricing",
        "max_output_tokens",
    }
