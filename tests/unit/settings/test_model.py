import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from llmcost_plugins.budgets import Action, Budget
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.pricing import Mode
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy
from llmcost_plugins.settings import Settings

GOOD: dict[str, list[tuple[str, Any]]] = {
    "LEDGER": [("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db")],
    "BUDGETS": [
        ("", ()),
        ("global=5/day; run=1", (Budget("global", 5, "day"), Budget("run", 1))),
    ],
    "HOLD_WAIT": [("0", timedelta(0)), ("1.5", timedelta(seconds=1.5))],
    "CURRENCY": [
        ("CNY:7.12", Currency("CNY", Decimal("7.12"))),
        (" eur: 0.92", Currency("EUR", Decimal("0.92"))),
        ("", None),
    ],
    "CALL_MAX": [("60", timedelta(minutes=1))],
    "MAX_OUTPUT_TOKENS": [("1000", 1000)],
    "UNKNOWN_MODEL": [
        ("refuse", REFUSE),
        ("free", UnknownModelPolicy(refuse=False, ceiling=(0, 0))),
        ("ceiling:10, 30.5", UnknownModelPolicy(False, (10_000_000_000, 30_500_000_000))),
    ],
    "CONFIG": [("llmcost.toml", Path("llmcost.toml"))],
    "ON_EXCEED": [("raise", Action.RAISE), ("warn", Action.WARN)],
    "FALLBACK_MODELS": [
        ("openai:gpt-4o,openai:gpt-4o-mini", ("openai:gpt-4o", "openai:gpt-4o-mini")),
        (" a:b , c:d ,", ("a:b", "c:d")),
        ("", ()),
    ],
    "DEGRADE_AT": [("0.8", Decimal("0.8")), ("", None)],
    "HOLD_LEASE": [("60", timedelta(minutes=1))],
    "STRICT": [("true", True)],
    "SHADOW": [("1", True)],
    "LEDGER_ERRORS": [("allow", "allow"), ("block", "block")],
    "SPOOL": [("/tmp/x", Path("/tmp/x"))],  # noqa: S108 - not used
    "ESTIMATE": [("bound", Mode.BOUND), ("exact", Mode.EXACT), ("calibrated", Mode.CALIBRATED)],
    "PREFER_STATED_COST": [("true", True), ("0", False)],
    "PRICES": [("prices.toml", Path("prices.toml"))],
    "TIMEZONE": [("Europe/Berlin", ZoneInfo("Europe/Berlin"))],
    "CACHE": [("true", True)],
    "CACHE_SAMPLED": [("true", True)],
    "CACHE_AFTER_TOOLS": [("true", True)],
    "CACHE_DIR": [("/tmp/x", Path("/tmp/x"))],  # noqa: S108 - not used
    "CACHE_TTL": [("3600", timedelta(hours=1))],
    "CACHE_SIZE": [("1000000", 10**6)],
    "CACHE_NAMESPACE": [("tenant-a", "tenant-a")],
    "ALERT_WEBHOOK": [("https://a.example/x", "https://a.example/x"), ("", "")],
    "ALERT_SECRET": [("a-long-random-text", SecretStr("a-long-random-text"))],
    "ALERT_TIMEOUT": [("2.5", timedelta(seconds=2.5))],
}
BAD = {
    "BUDGETS": ["nonsense", "global=5/dy", "global=1;global=2", 'user:"x=5'],
    "HOLD_WAIT": ["soon", "-1", "nan", "inf", "1e30", "", "2 s"],
    "CALL_MAX": ["0", "-5", "x"],
    "MAX_OUTPUT_TOKENS": ["0", "-1", "many", "1.5", ""],
    "UNKNOWN_MODEL": ["", "maybe", "ceiling", "ceiling:1", "ceiling:0,0", "ceiling:a,b", "Free"],
    "ON_EXCEED": ["", "explode"],
    "DEGRADE_AT": ["0", "1.5", "most"],
    "HOLD_LEASE": ["0", "x"],
    "STRICT": ["", "very"],
    "LEDGER_ERRORS": ["", "ignore"],
    "ESTIMATE": ["", "guess", "chars/4"],
    "PREFER_STATED_COST": ["", "maybe"],
    "PRICES": ["", "none.toml", "/", "prices.toml/x"],
    "TIMEZONE": ["", "Mars/Base", "../etc/passwd", "/etc/localtime"],
    "CACHE": ["maybe", ""],
    "CACHE_SAMPLED": ["maybe"],
    "CACHE_AFTER_TOOLS": ["maybe"],
    "CURRENCY": ["XYZ:1", "EUR", "EUR:", "EUR:0", "EUR:-1", "EUR:nan", "USD:1", "JPY:1e12", "7.12"],
    "CACHE_TTL": ["-1", "a week"],
    "CACHE_SIZE": ["0", "-1", "1 GB"],
    "ALERT_TIMEOUT": ["0", "-1", "soon"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder to work in, with the files that settings name."""
    for name in ("prices.toml", "llmcost.toml"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_setting_is_tested_here() -> None:
    assert {name.lower() for name in GOOD} == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [(name, text, value) for name, cases in GOOD.items() for text, value in cases],
)
def test_a_variable_sets_its_field(
    name: str, text: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LLMCOST_{name}", text)
    assert getattr(Settings.from_env(), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_a_bad_value_is_named_with_its_variable_and_a_good_one(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LLMCOST_{name}", text)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env()
    message = str(caught.value)
    assert message.startswith(f"LLMCOST_{name}={text!r} cannot be used: ")
    good = message.rpartition(f"A good value is LLMCOST_{name}=")[2].rstrip(".").strip("'")
    monkeypatch.setenv(f"LLMCOST_{name}", good)
    Settings.from_env()


@pytest.mark.parametrize(("name", "field"), list(Settings.model_fields.items()))
def test_every_example_is_a_good_value(
    name: str, field: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LLMCOST_{name.upper()}", field.examples[0])
    Settings.from_env()


def test_without_variables_the_defaults_hold(own_home: Path) -> None:
    settings = Settings.from_env()
    assert settings.budgets == ()
    assert settings.hold_wait == timedelta(seconds=2)
    assert settings.call_max == timedelta(seconds=900)
    assert settings.max_output_tokens == 4096
    assert settings.unknown_model == REFUSE
    assert settings.prices is None
    assert settings.fetched_prices.is_relative_to(own_home)
    assert settings.fetched_prices.name == "prices.json.gz"
    assert settings.timezone == ZoneInfo("UTC")
    assert settings.cache is settings.cache_sampled is settings.cache_after_tools is False
    assert settings.cache_ttl == timedelta(days=7)
    assert settings.cache_size == 2**30
    assert settings.cache_namespace == ""
    assert settings.ledger.startswith(f"sqlite:///{own_home}/")
    assert settings.cache_dir.is_relative_to(own_home)
    assert list(own_home.iterdir()) == []


def test_only_variables_with_the_prefix_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUDGETS", "TIMEZONE", "LEDGER", "CACHE_SIZE"):
        monkeypatch.setenv(name, "nonsense")
    monkeypatch.setenv("llmcost_max_output_tokens", "17")
    monkeypatch.setenv("LLMCOST_SOMETHING_ELSE", "of an adapter")
    assert Settings.from_env().max_output_tokens == 17
    assert Settings.from_env().budgets == ()


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("LLMCOST_BUDGET", "LLMCOST_BUDGETS"), ("LLMCOST_TIME_ZONE", "LLMCOST_TIMEZONE")],
)
def test_a_misspelt_variable_is_refused_and_not_passed_over(
    wrong: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(wrong, "global=5/day")
    with pytest.raises(ConfigurationError, match=f"no setting {wrong}; did you mean {right}"):
        Settings.from_env()


def test_arguments_win_over_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCOST_MAX_OUTPUT_TOKENS", "17")
    monkeypatch.setenv("LLMCOST_BUDGETS", "nonsense")
    settings = Settings.from_env(max_output_tokens=18, budgets=(), hold_wait=0.5, call_max="7")
    assert settings.max_output_tokens == 18
    assert settings.hold_wait == timedelta(seconds=0.5)
    assert settings.call_max == timedelta(seconds=7)


def test_a_setting_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"'ledgr'.*'ledger'"):
        Settings.from_env(ledgr="x")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.from_env().max_output_tokens = 5


CONFIG = """
timezone = "Europe/Berlin"
hold_wait = 0.5
on_exceed = "raise"
degrade_at = 0.8

[[budgets]]
scope = "team:alpha"
limit = 200
per = "month"
on_exceed = "warn"
warn_at = [0.5]

[[budgets]]
scope = "feature:chat"
limit = "2M tokens"
per = "day"

[[budgets]]
scope = "global"
limit = "99.50"
"""


def test_a_file_of_settings_is_read_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "llmcost.toml"
    path.write_text(CONFIG)
    monkeypatch.setenv("LLMCOST_CONFIG", str(path))
    monkeypatch.setenv("LLMCOST_BUDGETS", "global=5; user:*=1/day:fallback")
    monkeypatch.setenv("LLMCOST_HOLD_WAIT", "1")
    settings = Settings.from_env()
    assert (settings.timezone, settings.hold_wait) == (
        ZoneInfo("Europe/Berlin"),
        timedelta(seconds=1),
    )
    share = {"degrade_at": "0.8"}
    assert settings.budgets_in_force() == (
        Budget("team:alpha", 200, "month", "warn", warn_at=["0.5"], **share),
        Budget("feature:chat", "2M tokens", "day", "raise", **share),
        Budget("global", 5, on_exceed="raise", **share),
        Budget("user:*", 1, "day", "fallback", **share),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("timezone = ", "no TOML file"),
        ('timezone = "Mars/Base"', "LLMCOST_TIMEZONE='Mars/Base'"),
        ("hold_weight = 1", "'hold_weight'"),
        ('config = "x"', "'config'"),
        ('[[budgets]]\nscope = "global"\nlimit = 0.5\ncolor = 1', "color"),
        ('[[budgets]]\nscope = "nonsense"\nlimit = 1', "'nonsense'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "llmcost.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        Settings.from_env(config=path)


def test_a_file_that_is_not_there_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMCOST_CONFIG", "/nonexistent/llmcost.toml")
    with pytest.raises(ConfigurationError, match=r"LLMCOST_CONFIG='/nonexistent/llmcost\.toml'"):
        Settings.from_env()


def test_entries_that_wait_lie_beside_their_ledger_or_apart_from_those_of_others() -> None:
    first, second = (Settings(ledger=f"sqlite:////x/{name}.db?sync=full") for name in "ab")
    assert first.spool_folders()[0] == Path("/x/a.db-spool")
    assert first.spool_folders()[1] != second.spool_folders()[1]
    assert len(Settings(ledger="memory://").spool_folders()) == 1


def test_each_setting_knows_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "llmcost.toml"
    file.write_text('strict = true\nhold_wait = 1\nbudgets = [{scope = "global", limit = 5}]\n')
    monkeypatch.setenv("LLMCOST_CONFIG", str(file))
    monkeypatch.setenv("LLMCOST_HOLD_WAIT", "3")
    settings = Settings.from_env(shadow=True)
    names = ("config", "strict", "hold_wait", "shadow", "estimate", "budgets")
    assert [settings.source(name) for name in names] == [
        *("environment", "file", "environment", "code", "default", "file")
    ]
    monkeypatch.setenv("LLMCOST_BUDGETS", "run=1")
    both = Settings.from_env()
    assert both.source("budgets") == "file, environment"
    assert [both.budget_source(budget.key) for budget in both.budgets] == ["file", "environment"]
    assert Settings.from_env(budgets=()).source("budgets") == "code"
