"""A report as one page of HTML that needs nothing but itself: no script, font, image or network."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.overview import Overview
from llmcost_plugins.page.ahead import forecast_of
from llmcost_plugins.page.amounts import Amounts
from llmcost_plugins.page.charts import hatching
from llmcost_plugins.page.markup import Markup, joined, tag
from llmcost_plugins.page.over_time import over_time, savings_over_time
from llmcost_plugins.page.spending import by_group, models_table
from llmcost_plugins.page.standing import budget_bars
from llmcost_plugins.page.tiles import notes, tiles
from llmcost_plugins.page.timeline import timeline
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.private_files import write_privately
from llmcost_plugins.reporter import Report
from llmcost_plugins.wording import span_in_words

__all__ = ["report_page", "write_page"]


def report_page(found: Overview, currency: Currency | None = None) -> str:
    """Return an overview as a page. The same facts give the same page, byte for byte.

    Every amount carries the exact one in USD, as the value of a ``data`` element.
    """
    span = span_in_words(found.models.span, found.zone)
    title = f"LLM spend {span}"
    put_together = f"Put together {found.at.astimezone(found.zone):%Y-%m-%d %H:%M} ({found.zone})"
    amounts = Amounts(currency)
    body = tag(
        "main",
        tag("header", tag("h1", "LLM spend"), tag("p", _sentence(span), class_="soft")),
        tiles(found, amounts),
        tag("div", *_panels(found, amounts), class_="panels"),
        tag("footer", tag("ul", *notes(found, currency), class_="notes"), tag("p", put_together)),
    )
    style = files(__name__).joinpath("style.css").read_text("utf-8")
    html = tag("html", _head(title, style), tag("body", hatching(), body), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def write_page(path: Path | str, page: str) -> None:
    """Write a page, whole or not at all, readable by its owner only: it tells who spent what.

    Raises:
        ConfigurationError: it cannot be written there.
    """
    target = Path(path)
    try:
        if what := _no_place(target):
            msg = f"{str(path)!r} is {what}, such as 'report.html'"
            raise ConfigurationError(msg)
        write_privately(target, page.encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        msg = f"{str(path)!r} cannot be written: {reason}; name a file in a folder that is yours"
        raise ConfigurationError(msg) from error


def _no_place(target: Path) -> str:
    """Say why a file of this name is not to be replaced; empty if it may be."""
    if target.is_symlink():
        # Such as /dev/stdout, and what others may have put into a folder of all.
        return "a link; name the file itself"
    if not target.exists() or target.is_file():
        return ""
    return f"{'a folder' if target.is_dir() else 'no regular file'}; name a file"


def _head(title: str, style: str) -> Markup:
    # A browser that opens this can load nothing, should ever a label get through: the policy lets
    # in the one style sheet, by its hash.
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),  # or browsers ask a server for one
        tag("style", Markup(style)),
    )


def _panels(found: Overview, amounts: Amounts) -> Iterator[Markup]:
    total = found.models.total
    if not found.models.rows:
        yield _panel("Spending", tag("p", "No calls are recorded in this span.", class_="soft"))
    else:
        axis = timeline(found, to_the_end=forecast_of(found) is not None)
        if total.cost > 0:
            yield _panel(f"Spend by {axis.unit} and model", over_time(found, axis, amounts))
    if any(one.limit is not None for one in found.budgets):
        yield _panel("Budgets now", budget_bars(found.budgets, found.zone))
    if not found.models.rows:
        return
    yield _panel("Models", models_table(found.models, amounts))
    shown = [report for place, report in enumerate(found.groups) if place == 0 or _tells(report)]
    for report in shown:
        yield _panel(f"By {report.by[0]}", by_group(report, amounts), broad=len(shown) == 1)
    yield _panel("Saved", _savings(found, amounts))


def _tells(report: Report) -> bool:
    return any(row.group[0] for row in report.rows)


def _savings(found: Overview, amounts: Amounts) -> Markup:
    total = found.models.total
    if total.saved <= 0 and total.fallback_saved <= 0:
        words = "Nothing: no answer came from the completion cache, or from a cheaper model."
        return tag("p", words, class_="soft")
    saved = total.saved + total.fallback_saved
    words = joined(
        amounts.markup(saved), " less than the ", amounts.markup(saved + total.cost),
        " that these calls would have cost without cache and cheaper models",
    )  # fmt: skip
    axis = timeline(found)
    return joined(tag("p", words, class_="soft"), savings_over_time(found, axis, amounts))


def _panel(title: str, content: Markup, *, broad: bool = True) -> Markup:
    return tag("section", tag("h2", title), content, class_="panel broad" if broad else "panel")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
