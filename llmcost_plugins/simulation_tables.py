"""Simulations as tables for people, and as JSON and CSV for programs."""

import json

from rich.console import Group
from rich.text import Text

from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.simulate import CAVEAT, SimulatedRow, Simulation
from llmcost_plugins.tables import Record, plain_table, write_csv
from llmcost_plugins.wording import currency_record, money_record, money_text, rate_text


def simulation_json(found: Simulation, currency: Currency | None = None) -> str:
    """Write a simulation as a JSON object; money as decimal strings, in USD and in *currency*."""
    document = {
        "caveat": CAVEAT,
        "currency": currency_record(currency),
        "rows": [_record(row, currency) for row in found.rows],
        "total": _sums(found, currency),
        "unpriced": _apart(found, currency),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def simulation_csv(found: Simulation, currency: Currency | None = None) -> str:
    """Write a simulation as CSV: the column *line* tells ``row``, ``total``, ``unpriced`` apart."""
    nobody = {"model": "", "instead": "", "feature": ""}
    lines: list[Record] = [{"line": "row", **_record(row, currency)} for row in found.rows]
    total = {"line": "total", **nobody, **_sums(found, currency)}
    nothing = dict.fromkeys(total)
    apart = {"line": "unpriced", **nobody, **_apart(found, currency)}
    return write_csv([*lines, total, {**nothing, **apart}])


def simulation_table(found: Simulation, title: str, currency: Currency | None = None) -> Group:
    """Return a simulation as a table, and below it what to know of it."""
    table = plain_table(title, show_footer=True)
    table.add_column("Model", "total", overflow="fold", min_width=12)
    for heading in ("Instead", "Feature"):
        table.add_column(heading, overflow="fold", min_width=8)
    sums = (f"{found.calls:,}", *_amounts(found, currency))
    for heading, footer in zip(("Calls", "Spent", "Would be", "Change"), sums, strict=True):
        table.add_column(heading, footer, justify="right", no_wrap=True)
    for row in found.rows:
        # As Text: a label such as "[/red]" is no markup.
        group = (row.model, row.instead if row.instead != row.model else "=", row.feature)
        names = (Text(value or "(none)") for value in group)
        table.add_row(*names, f"{row.calls:,}", *_amounts(row, currency))
    notes = [CAVEAT]
    if found.unpriced or found.unpriced_spent:
        spent = money_text(found.unpriced_spent, currency)
        notes.append(f"cannot be priced so, and in no sum: {found.unpriced:,} calls for {spent}")
    if currency is not None:
        notes.append(rate_text(currency))
    return Group(table, Text("\n".join(notes)))


def _amounts(one: SimulatedRow | Simulation, currency: Currency | None) -> tuple[str, str, str]:
    spent, would, change = (
        money_text(amount, currency) for amount in (one.spent, one.simulated, one.change)
    )
    part = f" ({one.change / one.spent:+.0%})" if one.spent > 0 else ""
    return spent, would, f"{change}{part}"


def _record(row: SimulatedRow, currency: Currency | None) -> Record:
    group = {"model": row.model, "instead": row.instead, "feature": row.feature}
    return {**group, **_sums(row, currency)}


def _sums(one: SimulatedRow | Simulation, currency: Currency | None) -> Record:
    return {
        "calls": one.calls,
        **money_record("spent", one.spent, currency),
        **money_record("simulated", one.simulated, currency),
        **money_record("change", one.change, currency),
    }


def _apart(found: Simulation, currency: Currency | None) -> Record:
    return {"calls": found.unpriced, **money_record("spent", found.unpriced_spent, currency)}
