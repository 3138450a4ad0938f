"""What budgets look at in a call."""

from dataclasses import dataclass

from llmcost_plugins.budgets.scopes import ANY, parse_scope
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import Labels, make_labels


@dataclass(frozen=True, slots=True)
class Subject:
    """What a budget can look at in a call.

    Attributes:
        model: the catalog's canonical key of the requested model.
        provider: LiteLLM's name of the provider, or the framework's when unknown.
        labels: who caused the call.
        run: the id of the outermost run that it belongs to.
    """

    model: str
    provider: str
    labels: Labels
    run: str


def parse_subject(scope: str) -> Subject:
    """Read who makes a call from the parts of a scope, e.g. ``user:u1+model:gpt-4o``.

    Raises:
        ConfigurationError: the scope cannot be read, or a value is ``*``.
    """
    parts = dict(parse_scope(scope))
    if ANY in parts.values():
        msg = f"{scope!r} names everyone; name one value, such as 'user:u1'"
        raise ConfigurationError(msg)
    model, provider = parts.pop("model", ""), parts.pop("provider", "")
    run = parts.pop("run", "")
    labels = {key: value for key, value in parts.items() if value}
    return Subject(model, provider, make_labels(labels), run)


def value_of(key: str, subject: Subject) -> str | None:
    """Return what a call has for a key of a scope; `None` without that label."""
    if key == "run":
        return subject.run
    if key == "model":
        return subject.model
    if key == "provider":
        return subject.provider
    return subject.labels.values.get(key)
