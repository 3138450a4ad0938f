import hashlib
import json
import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing.maps import PriceMap
from llmcost_plugins.pricing.sources import Source, fetched_map, packaged_snapshot
from llmcost_plugins.pricing.update import FEWEST, examine, store

NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
BASE = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 4e-06,
}


def in_force(models: dict[str, Any]) -> Source:
    return Source("in force", (1, 0, 0), "0" * 16, PriceMap(models))


def encoded(models: Any) -> bytes:
    return json.dumps(models).encode()


def test_the_snapshots_own_models_are_a_good_map() -> None:
    snapshot = packaged_snapshot()
    models = PriceMap.of(snapshot.models)
    content = encoded({name: models[name] for name in models.current()})
    examined = examine(content, snapshot)
    assert (examined.problems, examined.doubts) == ((), ())
    assert examined.priced > 4000
    assert examined.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is not JSON: "),
        (b"<html>", "it is not JSON: "),
        (b"\xff", "it is not JSON: "),
        (b'{"a": {"input_cost_per_token": NaN}}', "it is not JSON: it has NaN for a number"),
        (b"[" * 100_000, "it is not JSON: "),
        (b"[]", "it is not a JSON object of models"),
        (b"{}", "only 0 of its models have a price; at least 1 must"),
        (b'{"sample_spec": {}}', "only 0 of its models have a price; at least 1 must"),
        (encoded({"a": {"mode": "chat"}}), "only 0 of its models have a price"),
    ],
)
def test_what_is_no_price_map_is_a_problem(content: bytes, problem: str) -> None:
    examined = examine(content, in_force({}), fewest=1)
    assert examined.problems[0].startswith(problem)


def test_a_map_with_few_prices_is_a_problem() -> None:
    content = encoded({f"m{number}": BASE for number in range(999)})
    assert FEWEST == 1000
    assert examine(content, in_force({})).problems == (
        "only 999 of its models have a price; at least 1,000 must",
    )


def test_a_map_with_less_than_half_of_the_models_is_a_problem_retired_ones_apart() -> None:
    before = {f"m{number}": BASE for number in range(5)} | {
        f"old{number}": BASE | {"retired": "1.0.0"} for number in range(5)
    }
    half = {f"m{number}": BASE for number in range(3)}
    assert examine(encoded(half), in_force(before), fewest=1).problems == ()
    del half["m2"]
    assert examine(encoded(half), in_force(before), fewest=1).problems == (
        "it has 2 models, less than half of the 5 in force",
    )


@pytest.mark.parametrize(
    ("new", "doubts"),
    [
        ({"input_cost_per_token": 6e-06}, ()),
        (
            {"input_cost_per_token": 6.1e-06},
            ("a: input from 0.000002 to 0.0000061 USD a token, 3.0 times",),
        ),
        (
            {"output_cost_per_token": 1e-06},
            ("a: output from 0.000004 to 0.000001 USD a token, 4.0 times",),
        ),
        ({"output_cost_per_token": 2e-06, "input_cost_per_token": 1e-06}, ()),
        (
            {"cache_read_input_token_cost": 0},
            ("a: cache_read from 0.000001 to 0 USD a token, from or to nothing",),
        ),
        (
            {"input_cost_per_token_above_200k_tokens_flex": 1e-04},
            ("a: input (flex, prompt > 200,000) from 0.000003 to 0.0001 USD a token, 33.3 times",),
        ),
        (
            {"fedramp_uplift_multiplier": 5},
            ("a: multiplier (FedRAMP) from 1.1 to 5 USD a factor, 4.5 times",),
        ),
        ({"input_cost_per_token": 0, "output_cost_per_token": 0}, ("a: it has lost its price",)),
        ({"input_cost_per_audio_token": 1e-02}, ("a: its input_cost_per_audio_token is 0.01,",)),
        (
            {"input_cost_per_token": -1},
            ("a: its input_cost_per_token is -1, which is not a price",),
        ),
        ({"input_cost_per_image": 1e-02, "max_tokens": 9}, ()),
    ],
)
def test_a_price_that_looks_wrong_is_a_doubt(new: dict[str, Any], doubts: tuple[str, ...]) -> None:
    old = BASE | {
        "cache_read_input_token_cost": 1e-06,
        "input_cost_per_token_above_200k_tokens_flex": 3e-06,
        "fedramp_uplift_multiplier": 1.1,
    }
    examined = examine(encoded({"a": old | new}), in_force({"a": old}), fewest=0)
    assert examined.problems == ()
    assert len(examined.doubts) == len(doubts)
    for said, expected in zip(examined.doubts, doubts, strict=True):
        assert said.startswith(expected)


def test_a_new_model_with_a_price_that_cannot_be_right_is_a_doubt() -> None:
    wrong = BASE | {"input_cost_per_token": 2.0}
    examined = examine(encoded({"a": BASE, "new": wrong}), in_force({"a": BASE}), fewest=1)
    assert len(examined.doubts) == 1
    assert examined.doubts[0].startswith("new: its input_cost_per_token is 2.0, more than 0.001")


def test_what_was_wrong_or_missing_before_is_no_new_doubt() -> None:
    models = {"wrong": BASE | {"input_cost_per_token": 2.0}, "none": {"mode": "chat"}, "a": BASE}
    assert examine(encoded(models), in_force(models), fewest=1).doubts == ()


def test_a_model_that_was_dropped_is_no_doubt() -> None:
    examined = examine(encoded({"a": BASE}), in_force({"a": BASE, "b": BASE}), fewest=1)
    assert (examined.problems, examined.doubts) == ((), ())


def test_the_worst_doubts_come_first() -> None:
    before = dict.fromkeys(("a", "b", "c", "d"), BASE)
    after = {
        "a": BASE | {"input_cost_per_token": 1e-05},
        "b": BASE | {"input_cost_per_token": 1e-04},
        "c": {"mode": "chat"},
        "d": BASE | {"output_cost_per_token": 1.0},
    }
    doubts = examine(encoded(after), in_force(before), fewest=1).doubts
    assert [doubt.partition(":")[0] for doubt in doubts] == ["d", "c", "b", "a"]


def test_a_stored_map_is_read_back_with_its_date_and_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "prices.json.gz"
    content = encoded({"a": BASE, "sample_spec": {}, "b": BASE | {"source": "x"}})
    examined = examine(content, in_force({}), fewest=1)
    summer = datetime(2026, 11, 25, 10, 30, 0, 999, tzinfo=timezone(timedelta(hours=2)))
    store(path, examined, "https://prices.example", summer)
    found = fetched_map(path)
    assert found is not None
    assert dict(found.models) == {"a": BASE, "b": BASE}
    assert found.date == "2026-11-25T08:30:00+00:00"
    assert found.name == "the map fetched from https://prices.example"
    assert found.fingerprint == hashlib.sha256(content).hexdigest()[:16]
    assert found.version >= packaged_snapshot().version


def test_the_file_and_its_folder_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "prices.json.gz"
    umask = os.umask(0)
    try:
        store(path, examine(encoded({"a": BASE}), in_force({}), fewest=1), "here", NOW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["prices.json.gz"]


def test_the_old_map_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "prices.json.gz"
    good = examine(encoded({"a": BASE}), in_force({}), fewest=1)
    store(path, good, "here", NOW)
    before = path.read_bytes()
    handle = path.open("rb")
    store(path, examine(encoded({"b": BASE}), in_force({}), fewest=1), "there", NOW)
    with handle:
        assert handle.read() == before  # who reads the old file reads all of it
    found = fetched_map(path)
    assert found is not None
    assert list(found.models) == ["b"]


def test_a_map_that_cannot_be_stored_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "prices.json.gz"
    (path / "in the way").mkdir(parents=True)
    examined = examine(encoded({"a": BASE}), in_force({}), fewest=1)
    with pytest.raises(ConfigurationError, match=r"cannot be stored in .*prices\.json\.gz"):
        store(path, examined, "here", NOW)
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="make the folder writable"):
        store(tmp_path / "file" / "prices.json.gz", examined, "here", NOW)
