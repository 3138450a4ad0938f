"""Rules in a TOML file.

The file is one of its own, not a part of ``LLMCOST_CONFIG``: that one says what environment
variables can say, once for a process, while an application may have a set of rules for each of its
routers. Its form::

    models = ["gpt-4o", "gpt-4o-mini"]   # from preferred to cheapest
    otherwise = "ladder"                 # or "cheapest": what is asked first when no rule holds

    [[rules]]
    name = "short triage"                # shown in reasons and errors
    models = ["gpt-4o-mini"]             # the other models follow
    tasks = ["triage", "classification"]
    max_prompt_tokens = 2000

    [[rules]]
    models = ["gpt-4o-mini"]
    budget = "team:*"
    max_budget_left = 0.2

The keys of a rule are the attributes of `Rule`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.rules import Rule
from llmcost_plugins.toml_files import read_toml

_KEYS: Final = ("models", "otherwise", "rules")
_RULE_KEYS: Final = tuple(one.name for one in fields(Rule))
_EXAMPLE: Final = "models = ['gpt-4o', 'gpt-4o-mini']"
_RULE_EXAMPLE: Final = "[[rules]] with models = ['gpt-4o-mini'] and tasks = ['triage']"


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a file of rules says.

    Attributes:
        models: the models, from preferred to cheapest.
        rules: the rules, in the order in which they are asked.
        otherwise: what is asked first when none holds: ``ladder`` or ``cheapest``.
    """

    models: Sequence[str]
    rules: tuple[Rule, ...]
    otherwise: str


def read_rules(path: Path) -> RuleFile:
    """Read a file of rules.

    Raises:
        ConfigurationError: it cannot be used; the message names the file, the rule, the key and a
            good value.
    """
    where = repr(str(path))
    stated = read_toml(path, f"the file of rules {where}")
    _check_keys(stated, _KEYS, where)
    models = stated.get("models")
    if not models or not isinstance(models, list) or not all(isinstance(m, str) for m in models):
        msg = f"{where}: models={models!r} is no list of model names; a good value is {_EXAMPLE}"
        raise ConfigurationError(msg)
    listed = stated.get("rules", [])
    if not isinstance(listed, list) or not all(isinstance(rule, dict) for rule in listed):
        msg = f"{where}: rules={listed!r} is no list of tables; a good one is {_RULE_EXAMPLE}"
        raise ConfigurationError(msg)
    rules = tuple(_rule(rule, number, where) for number, rule in enumerate(listed, 1))
    return RuleFile(models, rules, stated.get("otherwise", "ladder"))


def _rule(stated: Mapping[str, Any], number: int, where: str) -> Rule:
    name = f" ({stated['name']!r})" if stated.get("name") else ""
    place = f"{where}, rule {number}{name}"
    _check_keys(stated, _RULE_KEYS, place)
    if "models" not in stated:
        msg = f"{place} names no models; a good one is {_RULE_EXAMPLE}"
        raise ConfigurationError(msg)
    try:
        return Rule(**stated)
    except ConfigurationError as error:
        msg = f"{place}: {error}"
        raise ConfigurationError(msg) from None


def _check_keys(stated: Mapping[str, Any], known: Sequence[str], place: str) -> None:
    for key in stated:
        if key not in known:
            meant = get_close_matches(key, known, n=1)
            hint = f"did you mean {meant[0]!r}? " if meant else ""
            msg = f"{place} has the key {key!r}; {hint}it must be one of {describe_choices(known)}"
            raise ConfigurationError(msg)
