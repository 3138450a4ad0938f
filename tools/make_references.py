"""Write docs/settings.md and docs/cli.md, of the settings' class and of the commands.

    python tools/make_references.py [--check] [--folder docs]

With ``--check`` nothing is written, and the exit status is 1 if a page is not up to date.
"""

import argparse
import inspect
import re
import textwrap
import types
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo

import click
import platformdirs
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from llmcost_plugins.budgets import Budget
from llmcost_plugins.cli import cli
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.pricing.policy import REFUSE, UnknownModelPolicy
from llmcost_plugins.settings import Settings
from llmcost_plugins.settings.model import PREFIX
from llmcost_plugins.settings.switch import VARIABLE

DOCS: Final = Path(__file__).parent.parent / "docs"
KINDS: Final[dict[Any, str]] = {
    bool: "switch",
    int: "whole number above 0",
    str: "text",
    timedelta: "seconds",
    Decimal: "number",
    Path: "path",
    SecretStr: "text, kept out of logs",
    ZoneInfo: "name of a time zone",
    Budget: "budgets, joined by `;`",
    Currency: "`CODE:RATE`",
    UnknownModelPolicy: "`refuse`, `free` or `ceiling:INPUT,OUTPUT`",
}
"""What a value may be, by the type of the field; a setting of another type needs a word here."""
LISTED: Final = {str: "names, joined by `,`"}
GROUPS: Final = {
    "Budgets": ("budgets", "on_exceed", "degrade_at", "shadow", "fallback_models"),
    "Holds": ("max_output_tokens", "strict", "estimate", "hold_wait", "hold_lease", "call_max"),
    "Ledger": ("ledger", "ledger_errors", "spool"),
    "Prices": ("prices", "unknown_model", "prefer_stated_cost"),
    "Calendar and currency": ("timezone", "currency"),
    "Cache": (
        "cache",
        "cache_sampled",
        "cache_after_tools",
        "cache_dir",
        "cache_ttl",
        "cache_size",
        "cache_namespace",
    ),
    "Alerts": ("alert_webhook", "alert_secret", "alert_timeout"),
    "File": ("config",),
}
"""Where a setting stands on its page. One that is named nowhere comes last."""
MORE: Final = {
    "Budgets": "[Budgets](budgets.md) says how they are written, and when which one holds.",
    "Holds": "What each kind of call holds: [what is guaranteed](budgets.md#what-is-guaranteed).",
    "Prices": "[Prices](prices.md) says where they come from, and how names are matched.",
    "Cache": "[The cache](cache.md) says what is stored, and when it answers.",
    "Alerts": "[Alerts](alerts.md) says when one is sent, and what is in it.",
}
SETTINGS_HEAD: Final = f"""# Settings

Each setting is a variable of the environment. All but `{PREFIX}CONFIG` and `{VARIABLE}` can also
stand in the TOML file that `{PREFIX}CONFIG` names, under their names in lower case without the
prefix; the environment wins. In code, `Settings.from_env(strict=True)` wins over both, and
`CostTracker.from_env(...)` takes the same names.

A bad value stops at once with the variable's name, the value, and an example of a good one; so does
a variable whose name is nearly that of a setting. `llmcost doctor` shows what is in force and where
each value comes from.

*DATA* and *CACHE* are the folders that the system has for this:

| system | DATA | CACHE |
|---|---|---|
| Linux | `~/.local/share/llmcost` | `~/.cache/llmcost` |
| macOS | `~/Library/Application Support/llmcost` | `~/Library/Caches/llmcost` |
| Windows | `%LOCALAPPDATA%\\llmcost\\llmcost` | `%LOCALAPPDATA%\\llmcost\\llmcost\\Cache` |

A switch is `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`.

## Everywhere

### `{VARIABLE}`

Whether every call of the process by LangChain or LlamaIndex is recorded and held for, once
`llmcost_langchain` or `llmcost_llamaindex` has been imported somewhere. It cannot stand in the
file.

- **Type:** switch
- **Default:** off
- **Example:** `{VARIABLE}=true`
"""
CLI_HEAD: Final = """# Command line

What each command does is in [reports and monitoring](monitoring.md), [the page and the live
view](reports.md), [forecasts and what-if](forecast.md), [budgets](budgets.md), [prices](prices.md),
[the cache](cache.md) and [alerts](alerts.md); this page has all of their options.

"""
WRITTEN: Final = "<!-- Written by tools/make_references.py; edit what it reads. -->\n\n"


def settings_page() -> str:
    """Return the page of all settings."""
    meanings = _meanings(Settings)
    named = [name for names in GROUPS.values() for name in names]
    groups = {**GROUPS, "More": tuple(n for n in Settings.model_fields if n not in named)}
    parts = [WRITTEN, SETTINGS_HEAD]
    for group, names in groups.items():
        if names:
            parts.append(f"\n## {group}\n" + (f"\n{MORE[group]}\n" if group in MORE else ""))
        parts += [_setting(n, Settings.model_fields[n], meanings[n]) for n in names]
    return "".join(parts)


def _meanings(owner: type) -> dict[str, str]:
    """Return what the docstring of a class says of each of its attributes."""
    described = inspect.getdoc(owner).partition("Attributes:\n")[2]  # type: ignore[union-attr]  # it has one
    found = re.findall(r"^(\w+): (.*(?:\n {4,}.*)*)", textwrap.dedent(described), re.MULTILINE)
    return {name: _sentence(text) for name, text in found}


def _sentence(text: str) -> str:
    """Make Markdown of a line of a docstring."""
    joined = re.sub(r"\s+", " ", text).replace("``", "`")
    return f"{joined[0].upper()}{joined[1:]}".rstrip(".") + "."


def _setting(name: str, field: FieldInfo, meaning: str) -> str:
    variable = f"{PREFIX}{name.upper()}"
    return (
        f"\n### `{variable}`\n\n{textwrap.fill(meaning, 100, break_long_words=False)}\n\n"
        f"- **Type:** {_kind(field.annotation)}\n"
        f"- **Default:** {_default(field)}\n"
        f"- **Example:** `{variable}={field.examples[0]}`\n"  # type: ignore[index]  # each has one
    )


def _kind(annotation: Any) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return " or ".join(_kind(part) for part in parts if part is not type(None))
    if origin is tuple:
        return LISTED.get(parts[0]) or KINDS[parts[0]]
    if origin is Literal:
        return _choices(parts)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choices([member.value for member in annotation])
    return KINDS[annotation]


def _choices(values: Any) -> str:
    words = [f"`{value}`" for value in values]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    text: str
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "on" if value else "off"
        case timedelta():
            text = f"{value / timedelta(seconds=1):g}"
        case Enum():
            text = str(value.value)
        case _:
            text = "refuse" if value == REFUSE else str(value)
    data, cached = platformdirs.user_data_path("llmcost"), platformdirs.user_cache_path("llmcost")
    return f"`{text.replace(str(data), 'DATA').replace(str(cached), 'CACHE')}`"


def cli_page() -> str:
    """Return the page of all commands."""
    said = inspect.getdoc(inspect.getmodule(cli.callback)) or ""
    parts = [WRITTEN, CLI_HEAD, _paragraphs(said.partition("\n\n")[2])]
    for path, command in commands(cli, "llmcost"):
        parts.append(_command(path, command))
    return "".join(parts)


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, with what is typed to reach it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, f"{path} {name}")


def _command(path: str, command: click.Command) -> str:
    options = [each for each in command.params if isinstance(each, click.Option)]
    shown = [each for each in options if not each.hidden]
    usage = " ".join([path, *_usage(command, bool(shown))])
    depth = "##" if path.count(" ") < 2 else "###"  # noqa: PLR2004 - `llmcost GROUP COMMAND`
    parts = [f"\n{depth} `{path}`\n\n{_paragraphs(command.help or '')}\n```text\n{usage}\n```\n"]
    if shown:
        rows = [f"| {_flags(each)} | {_help(each)} |\n" for each in shown]
        parts += ["\n| option | meaning |\n|---|---|\n", *rows]
    return "".join(parts)


def _usage(command: click.Command, options: bool) -> Iterator[str]:
    if options:
        yield "[OPTIONS]"
    for each in command.params:
        if isinstance(each, click.Argument):
            yield each.name.upper() if each.required else f"[{each.name.upper()}]"
    if isinstance(command, click.Group):
        yield "[COMMAND]" if command.invoke_without_command else "COMMAND"


def _paragraphs(text: str) -> str:
    said = inspect.cleandoc(text).replace("``", "`")
    return "\n\n".join(textwrap.fill(part, 100) for part in re.split(r"\n\s*\n", said)) + "\n"


def _flags(option: click.Option) -> str:
    names = " ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    if option.is_flag or option.count:
        return names
    if isinstance(option.type, click.Choice):
        return f"{names} {_choices([_word(choice) for choice in option.type.choices])}"
    return f"{names} *{option.metavar or option.type.name.upper().split(' ')[0]}*"


def _word(choice: Any) -> str:
    return str(choice.value if isinstance(choice, Enum) else choice)


def _help(option: click.Option) -> str:
    said = re.sub(r"\s*\[default: (.+)\]$", "", option.help or "")
    stated = re.search(r"\[default: (.+)\]$", option.help or "")
    default = stated[1] if stated else option.default
    parts = [said.replace("|", "\\|")] if said else []
    # Options without a default have `None`, or since click 8.3 a mark of its own.
    if isinstance(default, str | int) and not isinstance(default, bool) and default != "":
        parts.append(f"Default: `{_word(default)}`.")
    return " ".join(parts)


PAGES: Final = {"settings.md": settings_page, "cli.md": cli_page}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--folder", type=Path, default=DOCS)
    asked = parser.parse_args(arguments)
    check: bool = asked.check
    stale = 0
    for name, page in PAGES.items():
        path, text = asked.folder / name, page()
        if path.is_file() and path.read_text("utf-8") == text:
            continue
        stale = 1
        print(
            f"{name} is not up to date; make references writes it" if check else f"{name} written"
        )
        if not check:
            path.write_text(text, encoding="utf-8")
    return stale if check else 0


if __name__ == "__main__":
    raise SystemExit(main())
