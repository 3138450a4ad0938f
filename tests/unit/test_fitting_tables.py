import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from llmcost_plugins.fitting_tables import FittingTable
from llmcost_plugins.tables import plain_table

SPARE = ("Calls", "Cost")
NAMES = st.text("abcdefghij", min_size=1, max_size=60)
AMOUNTS = st.integers(0, 9_999_999).map(lambda amount: f"${amount}.")


def table_of(rows: Sequence[tuple[str, str, str]], spare: Sequence[str] = ()) -> FittingTable:
    table = plain_table("Spend", spare=spare)
    table.add_column("Model", overflow="fold", min_width=8)
    for heading in SPARE:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def shown(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), markup=False, color_system=None)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


@given(st.lists(st.tuples(NAMES, AMOUNTS, AMOUNTS), min_size=1, max_size=4), st.integers(17, 120))
def test_every_amount_is_whole_every_name_is_there_and_no_line_is_too_long(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    lines = shown(table_of(rows), width)
    assert max(map(len, lines)) <= width
    said = " ".join(lines).split()
    letters = "".join("".join(lines).split())
    for name, *amounts in rows:
        assert set(amounts) <= set(said)
        # A name that is folded has other columns between its parts.
        assert all(letters.count(one) >= name.count(one) for one in set(name) - set("Spend"))


def test_rows_that_do_not_fit_are_written_one_below_the_other() -> None:
    table = table_of([("gpt-4o", "12", "$1.00"), ("", "3", "$0.0200")])
    table.show_footer = True
    for column, footer in zip(table.columns, ("total", "15", "$1.02"), strict=True):
        column.footer = footer
    assert shown(table, 18) == [
        "Spend",
        "",
        "gpt-4o",
        "  Calls 12",
        "  Cost  $1.00",
        "",
        "(Model)",
        "  Calls 3",
        "  Cost  $0.0200",
        "",
        "total",
        "  Calls 15",
        "  Cost  $1.02",
        "",
    ]


@pytest.mark.parametrize(
    ("width", "headings"),
    [(60, "Model Calls Cost"), (28, "Model Cost"), (20, "Model"), (9, "Model")],
)
def test_columns_that_can_be_spared_go_first_and_rows_stay_lines(width: int, headings: str) -> None:
    lines = shown(table_of([("a-long-model", "1,234", "$1,000.00")] * 2, SPARE), width)
    heading = next(line for line in lines if "Model" in line)
    assert heading.split() == headings.split()
    assert len([line for line in lines if line.strip().startswith("a-long")]) == 2
