"""Models that somebody names and that must have a price."""

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.pricing.catalog import Catalog
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.resolution import Match, Resolution


def priced(catalog: Catalog, model: str) -> tuple[Resolution, Prices]:
    """Return what the catalog knows of a model, and its prices.

    Raises:
        ConfigurationError: no price is known; the message says why, and names similar models.
    """
    found = catalog.resolve(model)
    if found.prices is not None:
        return found, found.prices
    near = f"; similar: {describe_choices(found.candidates)}" if found.candidates else ""
    hint = "say which host serves it" if found.match is Match.AMBIGUOUS else "check its name"
    msg = (
        f"no price is known for the model {model!r} ({found.reason}{near}); {hint}, such as "
        f"'openai/gpt-4o-mini', or state its price in a file of LLMCOST_PRICES"
    )
    raise ConfigurationError(msg)
