"""A tracker built from the environment prices calls by the fetched map and the user's own file."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.update import Examined, store
from llmcost_plugins.settings import Settings
from tests.support import MakeTracker, entries, only, recorded_nano

SIZE = CallSize(prompt_bound=1000, output_cap=100)


def call(tracker: CostTracker, model: str) -> None:
    opened = tracker.start(CallSpec("c1", model, "openai", SIZE))
    opened.finish(Usage(input=1000, output=100))


def test_a_call_costs_what_the_users_own_file_says(
    make_tracker: MakeTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('"gpt-4o" = {discount = 0.5}')
    monkeypatch.setenv("LLMCOST_PRICES", str(own))
    tracker = make_tracker("global=1/day")
    call(tracker, "gpt-4o")
    assert recorded_nano(tracker) == 1_750_000  # half of $0.0025 + $0.0010
    assert only(entries(tracker)).outcome.fingerprint == tracker.catalog.fingerprint
    assert str(own) in tracker.catalog.source


def test_a_call_costs_what_the_fetched_map_says(make_tracker: MakeTracker) -> None:
    entry = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "mode": "chat"}
    models = {"gpt-4o": {**entry, "litellm_provider": "openai"}}
    now = datetime(2090, 1, 1, tzinfo=UTC)
    store(Settings.from_env().fetched_prices, Examined(models, "ab" * 32), "here", now)
    tracker = make_tracker("global=1/day")
    call(tracker, "gpt-4o")
    assert recorded_nano(tracker) == 1_100_000
    call(make_tracker("global=1/day"), "gpt-4o")


def test_trackers_with_the_same_settings_share_their_prices(make_tracker: MakeTracker) -> None:
    assert make_tracker().catalog is make_tracker().catalog


def test_a_file_of_prices_that_cannot_be_used_stops_at_the_start(
    make_tracker: MakeTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('"gpt-4o" = {discount = 50}')
    monkeypatch.setenv("LLMCOST_PRICES", str(own))
    with pytest.raises(ConfigurationError, match=r"prices\.toml.*'gpt-4o'.*discount = 50"):
        make_tracker()
    monkeypatch.setenv("LLMCOST_PRICES", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"^LLMCOST_PRICES='.*none\.toml' cannot be used"):
        make_tracker()
    assert not (tmp_path / "ledger.db").exists()


def test_a_broken_fetched_map_stops_at_the_start(make_tracker: MakeTracker) -> None:
    path = Settings.from_env().fetched_prices
    path.parent.mkdir(parents=True)
    path.write_text("junk")
    with pytest.raises(ConfigurationError, match="llmcost prices update"):
        make_tracker()
