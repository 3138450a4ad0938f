"""Simulations as tables for people, and as JSON and CSV for programs."""

import json

from rich.console import Group
from rich.text import Text

from llmcost_plugins.money import format_usd, usd_to_nano
from llmcost_plugins.simulate import CAVEAT, SimulatedRow, Simulation
from llmcost_plugins.tables import Record, plain_table, write_csv


def simulation_json(found: Simulation) -> str:
    """Write a simulation as a JSON object; money as decimal strings in USD."""
    document = {
        "caveat": CAVEAT,
        "rows": [_record(row) for row in found.rows],
        "total": _sums(found),
        "unpriced": {"calls": found.unpriced, "spent_usd": f"{found.unpriced_spent:f}"},
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def simulation_csv(found: Simulation) -> str:
    """Write a simulation as CSV: the column *line* tells ``row``, ``total``, ``unpriced`` apart."""
    nobody = {"model": "", "instead": "", "feature": ""}
    lines: list[Record] = [{"line": "row", **_record(row)} for row in found.rows]
    lines.append({"line": "total", **nobody, **_sums(found)})
    apart = {"calls": found.unpriced, "spent_usd": f"{found.unpriced_spent:f}"}
    rest = {"simulated_usd": None, "change_usd": None}
    lines.append({"line": "unpriced", **nobody, **apart, **rest})
    return write_csv(lines)


def simulation_table(found: Simulation, title: str) -> Group:
    """Return a simulation as a table, and below it what to know of it."""
    table = plain_table(title, show_footer=True)
    table.add_column("Model", "total", overflow="fold", min_width=12)
    for heading in ("Instead", "Feature"):
        table.add_column(heading, overflow="fold", min_width=8)
    sums = (f"{found.calls:,}", *_amounts(found))
    for heading, footer in zip(("Calls", "Spent", "Would be", "Change"), sums, strict=True):
        table.add_column(heading, footer, justify="right", no_wrap=True)
    for row in found.rows:
        # As Text: a label such as "[/red]" is no markup.
        group = (row.model, row.instead if row.instead != row.model else "=", row.feature)
        names = (Text(value or "(none)") for value in group)
        table.add_row(*names, f"{row.calls:,}", *_amounts(row))
    notes = [CAVEAT]
    if found.unpriced or found.unpriced_spent:
        spent = format_usd(usd_to_nano(found.unpriced_spent))
        notes.append(f"cannot be priced so, and in no sum: {found.unpriced:,} calls for {spent}")
    return Group(table, Text("\n".join(notes)))


def _amounts(one: SimulatedRow | Simulation) -> tuple[str, str, str]:
    spent, would, change = map(usd_to_nano, (one.spent, one.simulated, one.change))
    part = f" ({one.change / one.spent:+.0%})" if one.spent > 0 else ""
    return format_usd(spent), format_usd(would), f"{format_usd(change)}{part}"


def _record(row: SimulatedRow) -> Record:
    group = {"model": row.model, "instead": row.instead, "feature": row.feature}
    return {**group, **_sums(row)}


def _sums(one: SimulatedRow | Simulation) -> Record:
    return {
        "calls": one.calls,
        "spent_usd": f"{one.spent:f}",
        "simulated_usd": f"{one.simulated:f}",
        "change_usd": f"{one.change:f}",
    }
