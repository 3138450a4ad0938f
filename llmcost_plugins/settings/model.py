"""The settings as fields, with what each of them may be.

Each variable is ``LLMCOST_`` and the field's name, e.g. ``LLMCOST_BUDGETS``.
"""

import hashlib
import os
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

import platformdirs
from pydantic import BeforeValidator, Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from llmcost_plugins.budgets import Action, Budget, BudgetKey, parse_budgets, read_budgets
from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.pricing import Mode
from llmcost_plugins.pricing.currencies import Currency, read_currency
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy, parse_unknown_model
from llmcost_plugins.settings import switch
from llmcost_plugins.toml_files import read_toml

PREFIX: Final = "LLMCOST_"
_APP: Final = "llmcost"
_ENVIRONMENT: Final = "environment"


def _zone(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        msg = "no such time zone"
        raise ValueError(msg) from None


def _budgets(value: Any) -> Any:
    try:
        if isinstance(value, str):
            return read_budgets(value)
        return tuple(budget if isinstance(budget, Budget) else Budget(**budget) for budget in value)
    except TypeError as error:
        msg = f"a budget in the file cannot be read: {error}"
        raise ValueError(msg) from None
    except ConfigurationError as error:
        # pydantic wraps ValueErrors only.
        raise ValueError(str(error)) from None


def _share(value: Any) -> Any:
    if value is None or value == "":
        return None
    try:
        return Budget("global", 1, degrade_at=value).degrade_at
    except ConfigurationError:
        msg = "it must be a part of the limit, between 0 and 1"
        raise ValueError(msg) from None


def _names_listed(value: Any) -> Any:
    """Read names with commas between them, or the list that a file has."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        msg = "it is not a list of names"
        raise ValueError(msg)
    return tuple(name.strip() for name in names if name.strip())


def _unknown_model(value: Any) -> Any:
    return parse_unknown_model(value) if isinstance(value, str) else value


def _currency(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return read_currency(value) if value.strip() else None


def _seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        seconds = value
    else:
        try:
            seconds = timedelta(seconds=float(Decimal(value)))
        except (ArithmeticError, ValueError, TypeError):
            msg = "it is not a number of seconds"
            raise ValueError(msg) from None
    if seconds < timedelta(0):
        msg = "it is negative"
        raise ValueError(msg)
    return seconds


def _some_seconds(value: Any) -> Any:
    seconds = _seconds(value)
    if not seconds:
        msg = "it must be more than 0 seconds"
        raise ValueError(msg)
    return seconds


def _file(value: Any) -> Any:
    if isinstance(value, str | Path) and not Path(value).is_file():
        msg = "there is no such file"
        raise ValueError(msg)
    return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]


class Settings(BaseSettings):
    """What is in force in this process.

    The reference of settings in the documentation is made of these words and of the fields.

    Attributes:
        ledger: where entries, buckets and holds are kept: ``sqlite:////path/ledger.db``,
            ``sqlite:////path/ledger.db?sync=full`` to survive a power loss, or ``memory://`` for
            one process and no file.
        budgets: what may be spent, ``scope=amount[/period][:action]`` joined by ``;``.
        config: a TOML file with these settings, under their names in lower case without the
            prefix; the environment wins.
        on_exceed: what a budget does that names no action: a router may answer with a cheaper model
            and all else is refused, every call is refused, or nothing is refused and all is told.
        fallback_models: the models of a router that is given none, from preferred to cheapest, as
            its framework names them.
        degrade_at: the part of a limit, 0 to 1, from which routers prefer their cheaper models, for
            budgets that do not say so themselves.
        hold_wait: how long a call waits for calls in flight to settle, when only they stand in its
            way.
        hold_lease: how long the hold of a call that we see alive lasts without being renewed; of a
            call whose process has died, it then counts as lost.
        call_max: the longest that a call may take; then its hold counts as lost in any case.
        max_output_tokens: the answer's length to hold for when nothing caps it, and the cap that
            routers send.
        strict: whether a call that nothing caps is held for at all that its model can answer.
        shadow: whether budgets refuse nothing, and only record what they would have refused, to try
            them on live traffic.
        ledger_errors: what happens to calls under a budget while the ledger cannot be used: they
            are refused, or go on.
        spool: where entries of paid calls wait that neither the ledger nor the folder beside it
            could take.
        unknown_model: what happens under a budget to a model without a price: it is refused,
            counted at a stated price in USD per million tokens, or let through uncounted.
        estimate: how prompts are measured before a call: by their UTF-8 bytes, by the model's own
            tokenizer where it is at hand, or by what past calls have shown.
        prefer_stated_cost: whether a cost that the provider itself states (OpenRouter, Perplexity,
            xAI, LiteLLM) is what counts.
        prices: a TOML or JSON file with prices of your own: other models, discounts, aliases,
            currencies.
        timezone: the calendar that budgets and reports go by.
        cache: whether routers cache completions that are not told otherwise.
        cache_sampled: whether answers of a temperature above 0 are cached, too.
        cache_after_tools: whether answers to results of tools are, as agents ask for them; what
            follows them may act again.
        currency: what reports, forecasts and simulations show amounts in, with how many units one
            USD is worth; budgets and the ledger stay in USD.
        cache_dir: the folder in which completions are cached.
        cache_ttl: how long a cached completion is good.
        cache_size: bytes that the cache may take on disk, oldest answers out first.
        alert_webhook: the address that alerts are posted to; a redirect is refused.
        alert_secret: signs alerts; 16 characters or more.
        alert_timeout: how long the webhook may be silent.
        cache_namespace: keeps tenants apart that share a cache folder; ``{team}`` stands for the
            label ``team`` of each call.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, arbitrary_types_allowed=True
    )

    ledger: str = Field(
        default_factory=lambda: f"sqlite:///{platformdirs.user_data_path(_APP) / 'ledger.db'}",
        examples=["sqlite:////var/lib/myapp/llmcost.db"],
    )
    budgets: Annotated[tuple[Budget, ...], NoDecode, BeforeValidator(_budgets)] = Field(
        default=(), examples=["global=1000/month; user:*=2/day; run=0.50"]
    )
    config: Path | None = Field(default=None, examples=["llmcost.toml"])
    on_exceed: Action = Field(default=Action.FALLBACK, examples=["raise"])
    fallback_models: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names_listed)] = Field(
        default=(), examples=["openai:gpt-4o,openai:gpt-4o-mini"]
    )
    degrade_at: Annotated[Decimal | None, BeforeValidator(_share)] = Field(
        default=None, examples=["0.8"]
    )
    hold_wait: Seconds = Field(default=timedelta(seconds=2), examples=["2"])
    hold_lease: Annotated[timedelta, BeforeValidator(_some_seconds)] = Field(
        default=timedelta(seconds=120), examples=["120"]
    )
    call_max: Annotated[timedelta, BeforeValidator(_some_seconds)] = Field(
        default=timedelta(seconds=900), examples=["900"]
    )
    max_output_tokens: int = Field(default=4096, gt=0, examples=["4096"])
    strict: bool = Field(default=False, examples=["true"])
    shadow: bool = Field(default=False, examples=["true"])
    ledger_errors: Literal["block", "allow"] = Field(default="block", examples=["allow"])
    spool: Path = Field(
        default_factory=lambda: platformdirs.user_data_path(_APP) / "spool",
        examples=["/var/lib/myapp/llmcost-spool"],
    )
    unknown_model: Annotated[UnknownModelPolicy, NoDecode, BeforeValidator(_unknown_model)] = Field(
        default=REFUSE, examples=["ceiling:10,30"]
    )
    estimate: Mode = Field(default=Mode.BOUND, examples=["calibrated"])
    prefer_stated_cost: bool = Field(default=False, examples=["true"])
    prices: Annotated[Path | None, BeforeValidator(_file)] = Field(
        default=None, examples=["prices.toml"]
    )
    timezone: Annotated[ZoneInfo, BeforeValidator(_zone)] = Field(
        default=ZoneInfo("UTC"), examples=["Europe/Berlin"]
    )
    cache: bool = Field(default=False, examples=["true"])
    cache_sampled: bool = Field(default=False, examples=["true"])
    cache_after_tools: bool = Field(default=False, examples=["true"])
    currency: Annotated[Currency | None, NoDecode, BeforeValidator(_currency)] = Field(
        default=None, examples=["CNY:7.12"]
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path(_APP) / "completions",
        examples=["/var/cache/myapp/llmcost"],
    )
    cache_ttl: Seconds = Field(default=timedelta(days=7), examples=["604800"])
    cache_size: int = Field(default=2**30, gt=0, examples=["1073741824"])
    cache_namespace: str = Field(default="", examples=["{team}"])

    alert_webhook: str = Field(default="", examples=["https://alerts.example.com/llmcost"])
    alert_secret: SecretStr = Field(
        default=SecretStr(""), examples=["a-long-random-text-of-your-own"]
    )
    alert_timeout: Annotated[timedelta, BeforeValidator(_some_seconds)] = Field(
        default=timedelta(seconds=5), examples=["5"]
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _in_file: frozenset[BudgetKey] = PrivateAttr(default=frozenset())

    @property
    def fetched_prices(self) -> Path:
        """Where ``llmcost prices update`` stores the price map that it fetches."""
        return platformdirs.user_data_path(_APP) / "prices.json.gz"

    @property
    def demo_page(self) -> Path:
        """Where ``llmcost demo`` leaves the page that it makes."""
        return platformdirs.user_data_path(_APP) / "demo.html"

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Read the environment and the file it names; *overrides* win over both.

        Raises:
            ConfigurationError: a value cannot be used; the message names the variable, the value
                and a good one. Or there is no such setting, and one that has nearly its name:
                a budget in a misspelt variable would be in no one's way.
        """
        _refuse_misspelt()
        origins = dict.fromkeys(overrides, "code")
        path = overrides.get("config") or os.environ.get(f"{PREFIX}CONFIG")
        stated = _read_file(Path(path)) if path else {}
        in_file = stated.pop("budgets", None)
        of_file: frozenset[BudgetKey] = frozenset()
        if in_file is not None and "budgets" not in overrides:
            overrides["budgets"], of_file = _merged_budgets(str(path), in_file)
            origins["budgets"] = f"file, {_ENVIRONMENT}" if _stated("budgets") else "file"
        for name, value in stated.items():
            if not _stated(name):
                overrides.setdefault(name, value)
                origins.setdefault(name, "file")
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            raise ConfigurationError(_explain(error)) from None
        settings._origins, settings._in_file = origins, of_file
        return settings

    def source(self, name: str) -> str:
        """Say where a setting's value comes from: ``default``, ``file``, ``environment``, ``code``.

        Of budgets, which may come from both, ``file, environment``.
        """
        given = self._origins.get(name, _ENVIRONMENT if _stated(name) else "code")
        return given if name in self.model_fields_set else "default"

    def budget_source(self, key: BudgetKey) -> str:
        """Say where one of the budgets comes from: ``file``, ``environment`` or ``code``."""
        return "file" if key in self._in_file else self.source("budgets").rpartition(" ")[2]

    def budgets_in_force(self) -> tuple[Budget, ...]:
        """Return the budgets, with what they do not say themselves."""
        return tuple(
            budget.with_defaults(self.on_exceed, self.degrade_at) for budget in self.budgets
        )

    def spool_folders(self) -> tuple[Path, ...]:
        """Return where entries for the ledger wait: beside it, else in a folder of its own."""
        name = hashlib.sha256(self.ledger.encode()).hexdigest()[:16]
        file = self.ledger.partition(":///")[2].partition("?")[0]
        beside = (Path(f"{file}-spool").expanduser(),) if file else ()
        return (*beside, self.spool / name)


def _stated(name: str) -> bool:
    """Tell whether the environment has a setting."""
    variable = f"{PREFIX}{name.upper()}"
    return any(known.upper() == variable for known in os.environ)


def _read_file(path: Path) -> dict[str, Any]:
    """Read the file of settings, refusing names that are none."""
    stated = read_toml(path, f"{PREFIX}CONFIG={str(path)!r}")
    known = set(_names()) - {"config"}
    for name in stated:
        if name not in known:
            msg = (
                f"{str(path)!r} has the setting {name!r}; it must be one of "
                f"{describe_choices(sorted(known))}"
            )
            raise ConfigurationError(msg)
    return stated


def _merged_budgets(path: str, in_file: Any) -> tuple[tuple[Budget, ...], frozenset[BudgetKey]]:
    """Return the budgets of file and environment, and which of them are the file's.

    Where both cover the same, it is the environment's.
    """
    try:
        merged = {budget.key: budget for budget in _budgets(in_file)}
    except (ValueError, ConfigurationError) as error:
        msg = f"{path!r}: {error}"
        raise ConfigurationError(msg) from None
    text = os.environ.get(f"{PREFIX}BUDGETS", "")
    stated = {budget.key: budget for budget in parse_budgets(text)}
    return tuple((merged | stated).values()), frozenset(merged.keys() - stated.keys())


def _refuse_misspelt() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in _names()} | {switch.VARIABLE}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            meant = get_close_matches(name.upper(), known, n=1, cutoff=0.85)
            if meant:
                msg = f"there is no setting {name}; did you mean {meant[0]}?"
                raise ConfigurationError(msg)


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    field = Settings.model_fields.get(name)
    if field is None:
        return f"there is no setting {name!r}; it must be one of {describe_choices(_names())}"
    example = field.examples[0] if field.examples else None
    hint = f" A good value is {PREFIX}{name.upper()}={example!r}." if example else ""
    reason = first["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}={first['input']!r} cannot be used: {reason}.{hint}"


def _names() -> list[str]:
    return list(Settings.model_fields)
