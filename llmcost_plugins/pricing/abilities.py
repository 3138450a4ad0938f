"""What models can do, as the price map says."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.pricing.catalog import Catalog
from llmcost_plugins.pricing.entries import LOCAL_PROVIDERS
from llmcost_plugins.pricing.estimate import CallSize
from llmcost_plugins.pricing.resolution import Resolution

_FIELDS: Final[Mapping[str, str]] = {
    "tools": "supports_function_calling",
    "structured_output": "supports_response_schema",
    "images": "supports_vision",
    "audio": "supports_audio_input",
    "pdf": "supports_pdf_input",
    "reasoning": "supports_reasoning",
    "web_search": "supports_web_search",
}
ABILITIES: Final = (*_FIELDS, "video")
"""What a request can need of a model; of ``video`` the price map says nothing."""

_MEDIA: Final = {"image": "images", "audio": "audio", "video": "video"}
_MOST_BYTES: Final = 6
"""A text has fewer tokens than its bytes divided by this only if it is hardly text."""


def make_needs(needs: Iterable[str]) -> frozenset[str]:
    """Return what a request needs.

    Raises:
        ConfigurationError: there is no such ability, or *needs* is a string.
    """
    stated: object = needs
    if isinstance(stated, str) or not isinstance(stated, Iterable):
        msg = f"needs={stated!r} is no list of abilities; e.g. needs=['tools']"
        raise ConfigurationError(msg)
    wanted = tuple(needs)
    for ability in wanted:
        if ability not in ABILITIES:
            msg = (
                f"there is no ability {ability!r}; it must be one of {describe_choices(ABILITIES)}"
            )
            raise ConfigurationError(msg)
    return frozenset(wanted)


def abilities(catalog: Catalog, found: Resolution) -> dict[str, bool]:
    """Return what is known of a model's abilities; one that is missing is not known of.

    The map states what a model can do and leaves out what it cannot. An entry of the user's own, or
    of a model on the user's own machine, says nothing by leaving out.
    """
    entry = catalog.models.get(found.model) if found.prices is not None else None
    if entry is None:
        return {}
    says_all = found.provider not in LOCAL_PROVIDERS and not entry.get("stated_by_user")
    return {
        ability: bool(entry.get(field))
        for ability, field in _FIELDS.items()
        if says_all or entry.get(field)
    }


def missing(known: Mapping[str, bool], needs: Collection[str]) -> list[str]:
    """Return what a model is known not to be able to do, of what is needed; in order."""
    lacks = [ability for ability in sorted(needs) if known.get(ability) is False]
    if "structured_output" in lacks and known.get("tools") is not False:
        lacks.remove("structured_output")  # a tool's arguments are a structure, too
    return lacks


def needs_of(media: Collection[str], *, tools: bool, structured: bool) -> frozenset[str]:
    """Return what a request needs of a model, some of `ABILITIES`.

    Args:
        media: what goes in beside text, see `CallSize.media`.
        tools: whether it offers tools.
        structured: whether it asks for a structure.
    """
    needs = {_MEDIA[medium] for medium in media if medium in _MEDIA}
    if tools:
        needs.add("tools")
    if structured:
        needs.add("structured_output")
    return frozenset(needs)


def why_unsuitable(name: str, known: Mapping[str, bool], needs: Collection[str]) -> str:
    """Say what a model cannot do of what is needed; empty when nothing is known to be missing."""
    lacks = missing(known, needs)
    return f"{name!r} is not known for {', '.join(lacks)}" if lacks else ""


def why_too_long(name: str, size: CallSize, window: int | None) -> str:
    """Say that a prompt cannot fit into a model's window of so many tokens; empty if it may."""
    least = size.text_bytes // _MOST_BYTES if size.text_tokens is None else size.text_tokens
    if window is None or least <= window:
        return ""
    return f"{name!r} takes prompts of {window:,} tokens, and this one has more than {least:,}"
