import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import Catalog, Match
from llmcost_plugins.pricing.sources import packaged_snapshot

MAP_NAME = "model_prices_and_context_window_backup.json"
CHEAP = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-09,
    "output_cost_per_token": 2e-09,
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(packaged_snapshot())


@pytest.mark.parametrize(
    ("name", "provider", "expected"),
    [
        ("gpt-4o", None, ("gpt-4o", Match.EXACT, "openai")),
        ("gpt-4o", "openai", ("gpt-4o", Match.EXACT, "openai")),
        ("openai/gpt-4o", None, ("gpt-4o", Match.EXACT, "openai")),
        ("openai/gpt-4o", "openai", ("gpt-4o", Match.EXACT, "openai")),
        ("OpenAI/GPT-4o", None, ("gpt-4o", Match.EXACT, "openai")),
        ("gpt-4o", "azure", ("azure/gpt-4o", Match.EXACT, "azure")),
        ("azure/gpt-4o", None, ("azure/gpt-4o", Match.EXACT, "azure")),
        ("gpt-4o-2024-08-06", "openai", ("gpt-4o-2024-08-06", Match.EXACT, "openai")),
        ("gpt-4o-2099-01-31", "openai", ("gpt-4o", Match.STRIPPED, "openai")),
        ("openai/gpt-4o-2099-01-31", None, ("gpt-4o", Match.STRIPPED, "openai")),
        ("claude-sonnet-4-5-20991231", None, ("claude-sonnet-4-5", Match.STRIPPED, "anthropic")),
        ("claude-sonnet-4-5@20991231", None, ("claude-sonnet-4-5", Match.STRIPPED, "anthropic")),
        ("gpt-4o", "together", ("gpt-4o", Match.STAND_IN, "together_ai")),
        ("gpt-4o-2099-01-31", "my-proxy", ("gpt-4o", Match.STAND_IN, "my-proxy")),
        ("gpt-99", "openai", ("gpt-99", Match.UNKNOWN, "openai")),
        ("gpt-99", "google_genai", ("gpt-99", Match.UNKNOWN, "gemini")),
        ("gpt-99", None, ("gpt-99", Match.UNKNOWN, "unknown")),
        ("", None, ("", Match.UNKNOWN, "unknown")),
        ("/", "openai", ("/", Match.UNKNOWN, "openai")),
        ("sample_spec", None, ("sample_spec", Match.UNKNOWN, "unknown")),
    ],
)
def test_a_name_is_resolved(
    catalog: Catalog, name: str, provider: str | None, expected: tuple[str, Match, str]
) -> None:
    found = catalog.resolve(name, provider)
    assert (found.model, found.match, found.provider) == expected
    assert (found.prices is None) == (found.match is Match.UNKNOWN) == bool(found.reason)
    assert catalog.resolve(name, provider) is found


@pytest.mark.parametrize(
    ("hint", "name", "model", "serving"),
    [
        ("openai", "gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct", "openai"),
        ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5", "anthropic"),
        ("google_genai", "gemini-2.5-flash", "gemini/gemini-2.5-flash", "gemini"),
        ("google_vertexai", "gemini-2.5-flash", "gemini-2.5-flash", "vertex_ai"),
        ("mistralai", "mistral-large-latest", "mistral/mistral-large-latest", "mistral"),
        ("groq", "llama-3.1-8b-instant", "groq/llama-3.1-8b-instant", "groq"),
        ("xai", "grok-4", "xai/grok-4", "xai"),
        ("deepseek", "deepseek-chat", "deepseek-chat", "deepseek"),
        ("cohere", "command-r-plus", "command-r-plus", "cohere"),
        (
            "amazon_bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "anthropic.claude-3-haiku-20240307-v1:0",
            "bedrock",
        ),
        (
            "fireworks",
            "accounts/fireworks/models/deepseek-v3",
            "fireworks_ai/accounts/fireworks/models/deepseek-v3",
            "fireworks_ai",
        ),
        (
            "together",
            "meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "together_ai/meta-llama/Llama-3.3-70B-Instruct-Turbo",
            "together_ai",
        ),
    ],
)
def test_langchains_names_of_providers_are_understood(
    catalog: Catalog, hint: str, name: str, model: str, serving: str
) -> None:
    found = catalog.resolve(name, hint)
    assert (found.model, found.provider, found.match) == (model, serving, Match.EXACT)


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-20250514"])
def test_a_retired_model_keeps_its_last_known_price(catalog: Catalog, name: str) -> None:
    assert catalog.resolve(name).match is Match.EXACT


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("llama3:8b", "ollama"),
        ("ollama/llama3:8b", None),
        ("ollama_chat/own-model", "ollama_chat"),
        ("gpt-4o", "lm_studio"),
        ("ollama/gpt-oss:20b", "ollama"),
    ],
)
def test_a_model_on_the_users_machine_is_free_whatever_its_name(
    catalog: Catalog, name: str, provider: str | None
) -> None:
    found = catalog.resolve(name, provider)
    assert found.match is Match.EXACT
    assert found.prices is not None
    assert set(found.prices.rates.values()) == {0}
    assert found.model.count(found.provider) == 1


def test_models_priced_at_zero_elsewhere_are_unknown(catalog: Catalog) -> None:
    zero = [
        name
        for name, entry in packaged_snapshot().models.items()
        if entry.get("input_cost_per_token") == entry.get("output_cost_per_token") == 0
        and entry.get("mode") == "chat"
    ]
    assert len(zero) > 20
    for name in zero:
        found = catalog.resolve(name)
        local = found.provider in {"ollama", "ollama_chat", "lm_studio", "lemonade"}
        free = name.startswith("openrouter/") and name.endswith(":free")
        assert found.prices is None or local or free or found.model != name, name


def run(script: str, *path: Path) -> str:
    folders = [*map(str, path), str(Path.cwd()), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = """
import sys
from llmcost_plugins.pricing import Catalog
catalog = Catalog.load()
rates = catalog.resolve("gpt-4o").prices.rates
assert "litellm" not in sys.modules
print(catalog.source, rates["input", 0, ""], len(catalog.fingerprint), sep="|")
"""


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """Give a folder with a package litellm that must not be imported."""
    site = tmp_path / "site"
    (site / "litellm").mkdir(parents=True)
    (site / "litellm" / "__init__.py").write_text("raise SystemExit('imported')")
    (site / "litellm" / MAP_NAME).write_text(json.dumps({"gpt-4o": CHEAP}))
    return site


@pytest.mark.parametrize("version", ["999.0.0", "999.0.0rc1", "999.1"])
def test_the_map_of_a_newer_litellm_is_used_without_importing_it(fake: Path, version: str) -> None:
    (fake / f"litellm-{version}.dist-info").mkdir()
    source, rate, digits = run(LOAD, fake).split("|")
    assert source.startswith("litellm 999.")
    assert rate == str(10**15)
    assert int(digits) == 16


@pytest.mark.parametrize("version", ["1.0.0", None])
def test_an_older_or_unknown_litellm_is_passed_over(fake: Path, version: str | None) -> None:
    if version:
        (fake / f"litellm-{version}.dist-info").mkdir()
    source, rate, _ = run(LOAD, fake).split("|")
    assert source.startswith("snapshot of litellm ")
    assert rate == str(25 * 10**17)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"gpt-4o": 1}', "\xff", None])
def test_a_broken_map_falls_back_to_the_snapshot(fake: Path, content: str | None) -> None:
    (fake / "litellm-999.0.0.dist-info").mkdir()
    path = fake / "litellm" / MAP_NAME
    path.unlink()
    if content is not None:
        path.write_text(content, encoding="latin-1")
    assert run(LOAD, fake).startswith("snapshot of litellm ")


def test_a_stub_in_place_of_litellm_falls_back_to_the_snapshot() -> None:
    stub = "import sys, types; sys.modules['litellm'] = types.ModuleType('litellm')"
    script = stub + LOAD.replace('assert "litellm" not in sys.modules', "")
    assert run(script).startswith("snapshot of litellm ")


def test_models_that_a_newer_map_dropped_are_still_priced(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"new-model": CHEAP}))
    catalog = Catalog.load(map_file=path)
    assert catalog.resolve("new-model").prices is not None
    assert catalog.resolve("gpt-4o").prices is not None
    assert catalog.fingerprint != Catalog(packaged_snapshot()).fingerprint
    assert repr(str(path)) in catalog.source


def test_a_named_map_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    for content in (None, "{", "{}"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(ConfigurationError, match=r"map\.json"):
            Catalog.load(map_file=path)
