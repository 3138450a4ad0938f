import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import Catalog, Match
from llmcost_plugins.pricing.catalog import shared_catalog
from llmcost_plugins.pricing.layouts import pack
from llmcost_plugins.pricing.loading import litellm_at_hand, newest_prices
from llmcost_plugins.pricing.sources import fetched_map, load_map, packaged_snapshot
from llmcost_plugins.pricing.update import Examined, store

MAP_NAME = "model_prices_and_context_window_backup.json"
TODAY = datetime(2090, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKENS = {"litellm_provider": "openai", "mode": "chat"}


def priced(usd: float) -> dict[str, Any]:
    return {**TOKENS, "input_cost_per_token": usd, "output_cost_per_token": usd}


def fetched_file(path: Path, models: dict[str, Any], now: datetime = TODAY) -> Path:
    store(path, Examined(models, "ab" * 32), "https://prices.example/map.json", now)
    return path


def input_rate(catalog: Catalog, name: str) -> int:
    prices = catalog.resolve(name).prices
    assert prices is not None
    return prices.rates["input", 0, ""]


@pytest.fixture(autouse=True)
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the litellm that another test may have imported: it would be found at once."""
    monkeypatch.delitem(sys.modules, "litellm", raising=False)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder of packages with a litellm 999.0.0 that must not be imported."""
    folder = tmp_path / "site"
    (folder / "litellm").mkdir(parents=True)
    (folder / "litellm-999.0.0.dist-info").mkdir()
    (folder / "litellm" / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "litellm" / MAP_NAME).write_text(json.dumps({"gpt-4o": priced(1e-09)}))
    monkeypatch.syspath_prepend(folder)
    return folder


def test_the_snapshot_covers_two_years_of_models_and_stays_small() -> None:
    snapshot = packaged_snapshot()
    assert snapshot.version == (1, 110, 2)
    assert snapshot.date == "2026-11-24"
    assert len(snapshot.models) > 5800
    assert sum("retired" in entry for entry in snapshot.models.values()) > 1000
    path = Path(sys.modules[Catalog.__module__].__file__ or "").parent / "data" / "prices.json.gz"
    assert path.stat().st_size < 200_000


def test_the_snapshot_keeps_what_a_price_depends_on() -> None:
    models = packaged_snapshot().models
    assert models["claude-opus-5-5"]["provider_specific_entry"] == {"fast": 2, "us": 1.1}
    assert models["gpt-6-astra"]["regional_processing_uplift_multiplier_eu"] == 1.1
    assert models["gpt-4o"]["supports_vision"] is True
    assert models["claude-opus-latest"]["alias_of"] == "claude-opus-5-5"
    assert models["claude-3-opus-20240229"]["retired"] == "1.100.0"
    assert not any("dbu" in field or field == "source" for e in models.values() for field in e)


def test_every_alias_of_the_snapshot_leads_to_a_price() -> None:
    catalog = Catalog(packaged_snapshot())
    aliases = [name for name, entry in catalog.models.items() if "alias_of" in entry]
    assert len(aliases) > 90
    for name in aliases:
        found, target = catalog.models[name], catalog.models[catalog.models[name]["alias_of"]]
        assert found["input_cost_per_token"] == target["input_cost_per_token"]


def test_loading_is_quick_and_small() -> None:
    # Far beyond what it takes (10 ms, 4 MB), since the machine may be busy.
    script = """
import time, tracemalloc
from llmcost_plugins.pricing.catalog import Catalog
start = time.process_time()
assert Catalog.load().resolve("gpt-4o").prices
took = time.process_time() - start
tracemalloc.start()
catalog = Catalog.load()
print(took, tracemalloc.get_traced_memory()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seconds, size = map(float, done.stdout.split())
    assert seconds < 0.2
    assert size < 12_000_000


def test_the_map_of_a_newer_litellm_is_laid_over_the_snapshot(site: Path) -> None:
    catalog = Catalog.load()
    assert catalog.source == "litellm 999.0.0 (installed)"
    assert input_rate(catalog, "gpt-4o") == 10**15
    dropped = catalog.resolve("gpt-4o-mini").prices
    assert dropped is not None
    assert dropped.retired == "1.110.2"
    earlier = catalog.resolve("claude-3-opus-20240229").prices
    assert earlier is not None
    assert earlier.retired == "1.100.0"
    snapshot = packaged_snapshot()
    assert [source.version for source in catalog.sources] == ["1.110.2", "999.0.0"]
    assert catalog.sources[0] == snapshot.origins[0]
    assert catalog.fingerprint not in {source.fingerprint for source in catalog.sources}
    assert len(catalog.fingerprint) == 16
    assert "litellm" not in sys.modules
    assert site.is_dir()


def test_a_litellm_in_a_zip_file_falls_back_to_the_snapshot(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "packages.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in site.rglob("*"):
            packed.write(path, path.relative_to(site))
    monkeypatch.syspath_prepend(archive)
    assert newest_prices().name.startswith("snapshot of litellm ")
    assert litellm_at_hand() == "1.110.2"


def test_a_litellm_without_its_map_falls_back_to_the_snapshot(site: Path) -> None:
    (site / "litellm" / MAP_NAME).unlink()
    assert newest_prices().name.startswith("snapshot of litellm ")


def test_a_folder_that_is_called_litellm_is_no_litellm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "litellm").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert newest_prices().name.startswith("snapshot of litellm ")


def test_a_module_without_a_spec_in_place_of_litellm_falls_back_to_the_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stub = type(sys)("litellm")
    assert stub.__spec__ is None
    monkeypatch.setitem(sys.modules, "litellm", stub)
    assert newest_prices().name.startswith("snapshot of litellm ")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"gpt-4o": 1}', '{"sample_spec": {}}', "\xff", "[" * 100_000],
)
def test_a_broken_map_of_an_installed_litellm_is_passed_over(site: Path, content: str) -> None:
    (site / "litellm" / MAP_NAME).write_text(content, encoding="latin-1")
    assert newest_prices().name.startswith("snapshot of litellm ")


def test_what_is_no_model_in_the_map_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    models = {"sample_spec": {}, "fallback_generalizations": {}, "gpt-4o": priced(1e-09)}
    path.write_text(json.dumps(models))
    found = load_map(path, ())
    assert found is not None
    assert list(found.models) == ["gpt-4o"]


def test_a_fetched_map_is_laid_over_an_older_snapshot(tmp_path: Path) -> None:
    path = fetched_file(tmp_path / "prices.json.gz", {"gpt-4o": priced(1e-09)})
    catalog = Catalog.load(fetched=path)
    assert catalog.source == "the map fetched from https://prices.example/map.json"
    assert input_rate(catalog, "gpt-4o") == 10**15
    newest = catalog.sources[-1]
    assert newest.date == "2090-01-02T03:04:05+00:00"
    assert newest.fingerprint == "ab" * 8
    dropped = catalog.resolve("gpt-4o-mini").prices
    assert dropped is not None
    assert dropped.retired == "1.110.2"


@pytest.mark.parametrize(
    ("date", "is_used"),
    [("2026-11-23T23:59:59+00:00", False), ("2026-11-24T00:00:00+00:00", True)],
)
def test_a_fetched_map_is_used_from_the_day_of_the_snapshot_on(
    tmp_path: Path, date: str, is_used: bool
) -> None:
    now = datetime.fromisoformat(date)
    path = fetched_file(tmp_path / "prices.json.gz", {"gpt-4o": priced(1e-09)}, now)
    assert (input_rate(Catalog.load(fetched=path), "gpt-4o") == 10**15) is is_used


def test_a_map_fetched_after_litellm_was_installed_wins_over_it(site: Path, tmp_path: Path) -> None:
    path = fetched_file(tmp_path / "prices.json.gz", {"gpt-4o": priced(2e-09)})
    assert litellm_at_hand() == "999.0.0"
    assert input_rate(Catalog.load(fetched=path), "gpt-4o") == 2 * 10**15
    assert site.is_dir()


def test_a_litellm_that_was_newer_than_any_at_the_time_of_fetching_wins(
    site: Path, tmp_path: Path
) -> None:
    path = fetched_file(tmp_path / "prices.json.gz", {"gpt-4o": priced(2e-09)})
    (site / "litellm-999.0.0.dist-info").rename(site / "litellm-999.0.1.dist-info")
    assert Catalog.load(fetched=path).source == "litellm 999.0.1 (installed)"
    (site / "litellm" / MAP_NAME).write_text("broken")
    assert input_rate(Catalog.load(fetched=path), "gpt-4o") == 2 * 10**15


def test_without_a_fetched_map_there_is_none(tmp_path: Path) -> None:
    assert fetched_map(tmp_path / "none.json.gz") is None
    assert newest_prices(fetched=tmp_path / "none.json.gz").name.startswith("snapshot")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        pack({"format": 2}, {}),
        pack({"fetched_at": "x", "from": "y", "litellm_at_hand": "1", "sha256": None}, {}),
        pack({"fetched_at": "x", "from": "y", "litellm_at_hand": 1, "sha256": "ab"}, {}),
    ],
)
def test_a_broken_fetched_map_is_an_error_with_the_file_and_the_remedy(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "prices.json.gz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Catalog.load(fetched=path)
    assert repr(str(path)) in str(caught.value)
    assert "'llmcost prices update'" in str(caught.value)


def test_a_fetched_map_that_cannot_be_opened_is_an_error_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{tmp_path}.*Is a directory.*prices update"):
        Catalog.load(fetched=tmp_path)


def test_the_fingerprint_covers_everything_in_force(tmp_path: Path) -> None:
    first = fetched_file(tmp_path / "first.json.gz", {"gpt-4o": priced(1e-09)})
    own = tmp_path / "own.toml"
    own.write_text('"gpt-4o" = {discount = 0.1}')
    other = tmp_path / "other.toml"
    other.write_text('"gpt-4o" = {discount = 0.2}')
    catalogs = [
        Catalog.load(),
        Catalog.load(fetched=first),
        Catalog.load(own=own),
        Catalog.load(own=other),
        Catalog.load(fetched=first, own=own),
    ]
    assert len({catalog.fingerprint for catalog in catalogs}) == 5
    assert all(len(catalog.fingerprint) == 16 for catalog in catalogs)
    assert Catalog.load(own=own).fingerprint == catalogs[2].fingerprint
    assert catalogs[4].source.endswith(f", with your own prices in {str(own)!r}")
    assert [source.fingerprint for source in catalogs[4].sources][:2] == [
        packaged_snapshot().fingerprint,
        "ab" * 8,
    ]


def test_a_named_map_is_used_instead_of_any_other(site: Path, tmp_path: Path) -> None:
    fetched = fetched_file(tmp_path / "prices.json.gz", {"gpt-4o": priced(2e-09)})
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"gpt-4o": priced(3e-09)}))
    catalog = Catalog.load(map_file=path, fetched=fetched)
    assert input_rate(catalog, "gpt-4o") == 3 * 10**15
    assert site.is_dir()


def test_a_process_shares_the_catalog_of_the_same_files(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('"gpt-4o" = {discount = 0.1}')
    shared = shared_catalog(None, own)
    assert shared_catalog(None, own) is shared
    assert shared_catalog() is not shared
    assert shared_catalog() is shared_catalog()


def test_a_broken_file_is_no_shared_catalog(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("nonsense")
    with pytest.raises(ConfigurationError):
        shared_catalog(None, own)
    own.write_text('"gpt-4o" = {discount = 0.1}')
    assert shared_catalog(None, own).resolve("gpt-4o").match is Match.EXACT
