"""``llmcost report --compare-to``: why more was spent than before."""

from rich.console import Console

from llmcost_plugins.clock import utc_now
from llmcost_plugins.effect_tables import comparison_csv, comparison_json, comparison_table
from llmcost_plugins.effects import Comparison, compare, span_before, spans_to_compare
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.settings import Settings
from llmcost_plugins.spans import named_window


def compared(
    reporter: CostReporter, groups: list[str], period: str | Window, other: str
) -> Comparison:
    """Compare a period, or a span that dates state, with *other*.

    Raises:
        ConfigurationError: a period or a group means nothing here.
    """
    now, zone = utc_now(), reporter.zone
    if isinstance(period, str):
        span, before = spans_to_compare(period, other, now, zone)
    elif other == "previous":
        span, before = period, span_before(period, now, zone)
    else:
        span, before = period, named_window(other, now, zone)
    return compare(reporter, span, before, groups)


def comparison_text(found: Comparison, form: str, settings: Settings, console: Console) -> str:
    """Write a comparison in the form asked for."""
    if form in {"json", "csv"}:
        text = (comparison_json if form == "json" else comparison_csv)(found)
        return f"{text}\n"
    with console.capture() as shown:
        console.print(comparison_table(found, settings.timezone))
    return shown.get()
