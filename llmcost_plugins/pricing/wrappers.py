"""What clients and proxies wrap around the name of a model: ARNs, resource paths, prefixes."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from llmcost_plugins.pricing.providers import is_wrapper


class Unwrapped(NamedTuple):
    """A name without what a client or a proxy wraps around it.

    Attributes:
        name: the name of the model.
        provider: the provider that the wrapper names, or `None`.
        region: the cloud region that the wrapper names, or "".
        rule: what was unwrapped, in words; empty: nothing.
        opaque: why the name says nothing of the model; empty: it does.
    """

    name: str
    provider: str | None = None
    region: str = ""
    rule: str = ""
    opaque: str = ""


_ARN: Final = re.compile(
    r"(?:bedrock/)?(?:(?:converse|converse_like|invoke)/)?"
    r"arn:aws[a-z-]*:(?P<service>[a-z-]+):(?P<region>[a-z0-9-]*):\d*:(?P<kind>[a-z-]+)/(?P<id>.+)",
    re.IGNORECASE,
)
_MODEL_ARNS: Final = frozenset({"foundation-model", "inference-profile"})
_VERTEX: Final = re.compile(
    r"(?:vertex_ai/)?(?:projects/[^/]+/locations/(?P<region>[^/]+)/)?"
    r"(?:publishers/[^/]+/models/(?P<model>.+)|(?P<own>(?:endpoints|models)/[^/]+))",
    re.IGNORECASE,
)
_FIREWORKS: Final = re.compile(r"accounts/(?P<account>[^/]+)/(?P<kind>[^/]+)/[^/]+", re.IGNORECASE)
_GOOGLE: Final = re.compile(r"(?P<kind>models|tunedModels)/(?P<model>[^/]+)", re.IGNORECASE)
_YOURS: Final = "it names {} of your own, not a model: add an alias that says which model it is"


def unwrap(name: str) -> Unwrapped:
    """Take off what a client or a proxy wraps around a name: ARNs, resource paths, proxy prefixes.

    Never fails; a name without a wrapper comes back as it is.
    """
    plain = name.strip()
    prefix, slash, rest = plain.partition("/")
    if slash and is_wrapper(prefix):
        inner = unwrap(rest)
        return inner._replace(rule=inner.rule or "the proxy's prefix removed")
    for pattern, read in _WRAPPERS:
        if found := pattern.fullmatch(plain):
            unwrapped = read(found)
            if unwrapped is not None:
                return unwrapped
    return Unwrapped(plain, rule="spaces around it removed" if plain != name else "")


def _read_arn(found: re.Match[str]) -> Unwrapped | None:
    kind = found["kind"].lower()
    if found["service"].lower() != "bedrock" or kind not in _MODEL_ARNS:
        return Unwrapped(found[0], opaque=_YOURS.format(f"the AWS resource {kind!r}"))
    # A profile's id says its regions itself (`us.`); a model's region is where it is called.
    region = found["region"].lower() if kind == "foundation-model" else ""
    return Unwrapped(found["id"], "bedrock", region, "the model of the ARN")


def _read_vertex(found: re.Match[str]) -> Unwrapped | None:
    if found["model"]:
        return Unwrapped(found["model"], "vertex_ai", rule="the model of the resource path")
    if not found["region"]:
        return None  # `models/X` alone is Google AI Studio's
    return Unwrapped(found[0], "vertex_ai", opaque=_YOURS.format("an endpoint"))


def _read_fireworks(found: re.Match[str]) -> Unwrapped | None:
    if found["account"].lower() == "fireworks":
        return Unwrapped(found[0], "fireworks_ai")
    return Unwrapped(found[0], "fireworks_ai", opaque=_YOURS.format("a model or deployment"))


def _read_google(found: re.Match[str]) -> Unwrapped | None:
    if found["kind"].lower() == "models":
        return Unwrapped(found["model"], "gemini", rule="'models/' removed")
    return Unwrapped(found[0], "gemini", opaque=_YOURS.format("a tuned model"))


_Read = Callable[[re.Match[str]], Unwrapped | None]
_WRAPPERS: Final[tuple[tuple[re.Pattern[str], _Read], ...]] = (
    (_ARN, _read_arn),
    (_VERTEX, _read_vertex),
    (_FIREWORKS, _read_fireworks),
    (_GOOGLE, _read_google),
)
