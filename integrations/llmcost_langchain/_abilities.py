"""What models can do, as their profiles and the catalog say."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel, ModelProfile

from llmcost_plugins.errors import ModelUnsuitable
from llmcost_plugins.pricing import CallSize, Catalog, Prices, abilities
from llmcost_plugins.pricing.abilities import why_too_long

_IN_PROFILES: Final = {
    "tools": "tool_calling",
    "structured_output": "structured_output",
    "images": "image_inputs",
    "audio": "audio_inputs",
    "video": "video_inputs",
    "pdf": "pdf_inputs",
    "reasoning": "reasoning_output",
}
_SHARED_LIMITS: Final = ("max_input_tokens", "max_output_tokens")


def check_suitable(model: BaseChatModel, name: str, size: CallSize, prices: Prices | None) -> None:
    """Refuse a model that cannot do a call; what is not known of it is no reason.

    Raises:
        ModelUnsuitable: it cannot.
    """
    profile: Mapping[str, Any] = model.profile or {}
    for medium in sorted(size.media):
        if profile.get(f"{medium}_inputs") is False:
            msg = f"{name!r} takes no {medium}"
            raise ModelUnsuitable(msg)
    window = profile.get("max_input_tokens") or (prices.max_input_tokens if prices else None)
    if too_long := why_too_long(name, size, window):
        raise ModelUnsuitable(too_long)


def check_tools(model: BaseChatModel, name: str) -> None:
    """Refuse a model that is known to have no tool calling.

    Raises:
        ModelUnsuitable: it has none.
    """
    if (model.profile or {}).get("tool_calling") is False:
        msg = f"{name!r} calls no tools"
        raise ModelUnsuitable(msg)


def needs_of(
    kwargs: Mapping[str, Any], media: Collection[str], *, structured: bool
) -> frozenset[str]:
    """Return what a request needs of a model, some of `ABILITIES`.

    Args:
        kwargs: what it is called with.
        media: what goes in beside text, see `CallSize.media`.
        structured: whether it was made by `with_structured_output`.
    """
    asks = structured or bool(kwargs.get("response_format"))
    return abilities.needs_of(media, tools=bool(kwargs.get("tools")), structured=asks)


def why_unsuitable(
    model: BaseChatModel, name: str, provider: str | None, needs: Collection[str], catalog: Catalog
) -> str:
    """Say what a model cannot do of what is needed; empty when nothing is known to be missing."""
    profile: Mapping[str, Any] = model.profile or {}
    known = abilities.abilities(catalog, catalog.resolve(name, provider))
    for ability, key in _IN_PROFILES.items():
        if isinstance(value := profile.get(key), bool):
            known[ability] = value
    return abilities.why_unsuitable(name, known, needs)


def shared_profile(models: Sequence[BaseChatModel]) -> ModelProfile | None:
    """Return what all of the models can do; `None` when of one of them nothing is known."""
    profiles = [cast("Mapping[str, Any]", model.profile) for model in models if model.profile]
    if len(profiles) < len(models):
        return None
    shared: dict[str, Any] = {}
    for key in profiles[0]:
        values = [profile.get(key) for profile in profiles]
        if all(isinstance(value, bool) for value in values):
            shared[key] = all(values)
        elif key in _SHARED_LIMITS and all(isinstance(value, int) for value in values):
            shared[key] = min(cast("list[int]", values))
    return cast("ModelProfile", shared)
