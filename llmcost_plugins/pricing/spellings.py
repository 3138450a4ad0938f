"""The spellings of a model's name, strongest first, each with what was done to the name.

Two kinds of steps lead to them. Some write the same model differently, as the providers document:
the price cannot change. Others leave out what may change it: a date, a version, a region.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from llmcost_plugins.pricing.providers import PUBLISHERS, is_provider, provider_of

_MOST: Final = 64
"""Spellings of one name: nobody's name has more, and a made-up one must not take long."""


class Spelling(NamedTuple):
    """One way to write a name.

    Attributes:
        name: the spelling.
        losses: how many parts were left out that may change the price; 0: it is the same model.
        rule: what was done to the name, in words; empty: nothing.
    """

    name: str
    losses: int
    rule: str


class _Step(NamedTuple):
    rule: str
    loses: bool
    pattern: re.Pattern[str]
    replacement: str
    provider: str | None = None  # holds for its names only


def _same(rule: str, pattern: str, replacement: str = "", provider: str | None = None) -> _Step:
    return _Step(rule, False, re.compile(pattern, re.IGNORECASE), replacement, provider)


def _less(rule: str, pattern: str, replacement: str = "", provider: str | None = None) -> _Step:
    return _Step(rule, True, re.compile(pattern, re.IGNORECASE), replacement, provider)


_VENDORS: Final = (
    "ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|"
    "nvidia|openai|qwen|stability|twelvelabs|writer|xai|zai"
)
_GEO: Final = rf"^(?:us-gov|global|apac|[a-z]{{2}})\.(?=(?:{_VENDORS})\.)"
BEDROCK_ID: Final = re.compile(rf"(?:{_GEO[1:]})?(?:{_VENDORS})\.[a-z]", re.IGNORECASE)
"""What the ids of Amazon Bedrock look like, with or without the regions of a profile."""
_DATE: Final = r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6}|\d{2}-20\d{2}|(?:0[1-9]|1[0-2])-[0-3]\d|\d{4})$"
_TUNED: Final = "ft:"
# Folders that say nothing of the price: those of every model there, and LiteLLM's routes.
_SILENT: Final[dict[str | None, tuple[str, ...]]] = {
    "azure": ("o_series", "gpt5_series", "responses"),
    "bedrock": ("converse", "converse_like", "invoke"),
    "fireworks_ai": ("accounts", "models"),
    "openai": ("responses",),
}

# In this order, each on all spellings that the steps before it gave.
_STEPS: Final = (
    _same("the base of the fine-tune", rf"^({_TUNED}[^:]+):.*$", r"\1"),
    _same("Azure's gpt-35 is gpt-3.5", r"^gpt-35(?=-|$)", "gpt-3.5"),
    _same("gpt-3.5 is Azure's gpt-35", r"^gpt-3\.5(?=-|$)", "gpt-35", "azure"),
    _same("'@default' removed", r"@default$"),
    _same("Vertex's '@' is '-'", r"@(20\d{6}|\d{3})$", r"-\1"),
    _same("'-' is Vertex's '@'", r"-(20\d{6}|\d{3})$", r"@\1", "vertex_ai"),
    _same(
        "version and size the other way round", r"claude-(\d(?:[.-]\d)?)-([a-z]+)", r"claude-\2-\1"
    ),
    _same("version with '-' for '.'", r"(?<=\d)\.(?=\d)", "-"),
    _same("version with '.' for '-'", r"(?<!\d)(\d{1,2})-(\d{1,2})(?![\da-z.])", r"\1.\2"),
    _same("version with 'p' for '.'", r"(?<=\d)\.(?=\d)", "p", "fireworks_ai"),
    _same("version without '.0'", r"(?<=\d)[.-]0(?=-20\d{6}$|$)"),
    _same("Databricks' prefix added", r"^(?!databricks-)", "databricks-", "databricks"),
    _less("without '[1m]'", r"\[1m\]$"),
    _less("without its tag", r"(?<!v\d):(?!ft)[\w.-]+$"),
    _less("without its revision", r"(?<=-v\d):\d+$"),
    _less("without its version", r"-v\d+$"),
    _less("as another region's inference profile", _GEO.replace("global|", ""), "us."),
    _less("inference-profile prefix removed", _GEO),
    _less("as an inference profile", rf"^(?=(?:{_VENDORS})\.)", "us.", "bedrock"),
    _less("without its snapshot date", _DATE),
    _less("without 'preview'", r"-(?:preview|experimental|exp|beta)$"),
    _less("without its number", r"-\d{3}$"),
    _less("without 'latest'", r"[-@]latest$"),
)


def spellings(name: str, provider: str | None) -> list[Spelling]:
    """Return the spellings of *name* at *provider*: those that lose nothing first, then fewest."""
    found = {name: Spelling(name, 0, "")}
    for spelling in _without_folders(name, provider):
        _add(spelling, found)
    for step in _STEPS:
        if step.provider is None or step.provider == provider:
            for old in list(found.values()):
                for new in _apply(step, old):
                    _add(new, found)
    return sorted(found.values(), key=lambda spelling: spelling.losses)


def _add(new: Spelling, found: dict[str, Spelling]) -> None:
    known = found.get(new.name)
    if (known is None and len(found) < _MOST) or (known and known.losses > new.losses):
        found[new.name] = new


def _apply(step: _Step, old: Spelling) -> Iterator[Spelling]:
    name = step.pattern.sub(step.replacement, old.name)
    # A fine-tune costs more than its base: none of the steps may lead from one to the other.
    is_allowed = _is_tuned(name) or not _is_tuned(old.name)
    if name and name != old.name and is_allowed:
        rule = f"{old.rule}, {step.rule}" if old.rule else step.rule
        yield Spelling(name, old.losses + step.loses, rule)


def _is_tuned(name: str) -> bool:
    return name[: len(_TUNED)].casefold() == _TUNED


def _without_folders(name: str, provider: str | None) -> Iterator[Spelling]:
    """Yield what stands after each slash of the name.

    The provider itself, and who publishes a model, say nothing of the price; anything else that
    stands before a name may be a region, an account or a host.
    """
    folder, slash, rest = name.partition("/")
    losses, rule = 0, ""
    while slash and rest:
        word = folder.casefold()
        if provider is None or provider_of(word) != provider:
            if word in PUBLISHERS or word in _SILENT.get(provider, ()):
                rule = rule or "what stands before it removed"
            elif is_provider(word):
                return  # another host is meant
            else:
                losses, rule = losses + 1, "without what stands before it"
        yield Spelling(rest, losses, rule)
        folder, slash, rest = rest.partition("/")
