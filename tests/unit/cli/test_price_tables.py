from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from llmcost_plugins.cli.price_records import Finding, Listed, View, view_record
from llmcost_plugins.cli.price_tables import (
    difference_tables,
    finding_table,
    list_table,
    view_tables,
)
from llmcost_plugins.pricing.comparing import Change, Differences
from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.rates import Prices
from llmcost_plugins.pricing.sources import Origin

ENTRY = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 2e-06,
    "output_cost_per_token": 4e-06,
}


def compiled(**entry: Any) -> Prices:
    found = compile_prices("m", entry)
    assert isinstance(found, Prices), found
    return found


def view(prices: Prices, **facts: Any) -> View:
    usual: dict[str, Any] = {
        "name": "asked",
        "provider": "openai",
        "match": "exact",
        "rule": "",
        "candidates": (),
        "alias_of": "",
        "now": datetime(2026, 11, 24, tzinfo=UTC),
        "fingerprint": "0123456789abcdef",
        "sources": (Origin("a map", "", "", "fedcba9876543210"),),
    }
    return View(prices=prices, **{**usual, **facts})


def lines(shown: RenderableType, width: int = 80) -> list[str]:
    out = StringIO()
    Console(file=out, width=width).print(shown)
    written = out.getvalue().splitlines()
    assert all(len(line) <= width for line in written)
    return [" ".join(line.split()) for line in written]


def test_a_view_says_how_the_name_was_matched() -> None:
    shown = lines(
        view_tables(
            view(compiled(**ENTRY), rule="snapshot date", candidates=("a", "b"), alias_of="target")
        )
    )
    for line in (
        "m (openai)",
        "Matched 'asked': exact, snapshot date",
        "Or a, b",
        "Priced as target",
        "Prices of a map, fedcba9876543210",
        "Fingerprint 0123456789abcdef",
        "input $2.00 / M tokens",
    ):
        assert line in shown


def test_a_view_leaves_out_what_is_not_there() -> None:
    shown = " ".join(lines(view_tables(view(compiled(**ENTRY)))))
    for word in ("Or", "Priced as", "Limits", "Multipliers", "Off-peak", "Retired", "Remarks"):
        assert word not in shown.split()


def test_a_view_has_the_remarks_and_one_limit() -> None:
    odd = compiled(**{**ENTRY, "output_cost_per_token": 1e-06, "max_output_tokens": 100})
    shown = " ".join(lines(view_tables(view(odd))))
    assert "Remarks an answer costs less than a prompt; the two may be swapped" in shown
    assert "Limits 100 tokens out" in shown


@pytest.mark.parametrize(
    ("now", "in_force", "price"),
    [
        ("2026-12-31T23:00:00+00:00", "Prices until 2027-01-01 (in force)", "0.000002"),
        (
            "2027-01-01T00:00:00+00:00",
            "Prices from 2027-01-01 until 2028-01-01 08:30 UTC (in force)",
            "0.000003",
        ),
        ("2029-01-01T00:00:00+00:00", "Prices from 2028-01-01 08:30 UTC (in force)", "0.000004"),
    ],
)
def test_each_version_of_the_prices_is_a_table(now: str, in_force: str, price: str) -> None:
    prices = compiled(
        **{**ENTRY, "input_cost_per_token": 4e-06, "max_input_tokens": 3},
        earlier=(
            (datetime(2028, 1, 1, 8, 30, tzinfo=UTC), {**ENTRY, "input_cost_per_token": 3e-06}),
            (datetime(2027, 1, 1, tzinfo=UTC), ENTRY),
        ),
    )
    shown = view(prices, now=datetime.fromisoformat(now))
    text = lines(view_tables(shown))
    assert [line for line in text if line.endswith("(in force)")] == [in_force]
    assert [line for line in text if line.startswith("input")] == [
        "input $2.00 / M tokens",
        "input $3.00 / M tokens",
        "input $4.00 / M tokens",
    ]
    record = view_record(shown)
    assert record["max_input_tokens"] == (3 if price == "0.000004" else None)
    inputs = [row for row in record["prices"] if row["meter"] == "input"]
    assert [(row["usd"], row["valid_from"], row["valid_until"]) for row in inputs] == [
        ("0.000002", None, "2027-01-01T00:00:00+00:00"),
        ("0.000003", "2027-01-01T00:00:00+00:00", "2028-01-01T08:30:00+00:00"),
        ("0.000004", "2028-01-01T08:30:00+00:00", None),
    ]


def test_a_price_has_all_its_digits_and_at_least_cents() -> None:
    shown = lines(
        view_tables(
            view(
                compiled(
                    **{**ENTRY, "input_cost_per_token": 1.14285714286e-6},
                    output_cost_per_second=1234.5,
                    stated_by_user=True,
                    cache_read_input_token_cost=0,
                )
            )
        )
    )
    assert "input $1.14285714286 / M tokens" in shown
    assert "cache_read $0.00 / M tokens" in shown
    assert "ms_out $1,234.50 / second" in shown


def test_sizes_of_search_are_listed_when_they_differ() -> None:
    searches = {"search_context_size_low": 0.01, "search_context_size_medium": 0.02}
    shown = lines(view_tables(view(compiled(**ENTRY, search_context_cost_per_query=searches))))
    found = [line for line in shown if line.startswith("web_search")]
    assert found == ["web_search $0.02 / search", "web_search_low $0.01 / search"]


def test_a_list_has_the_main_price_of_each_model() -> None:
    image = compiled(mode="image_generation", output_cost_per_image=0.04, retired="1.2.3")
    nothing = compiled(
        **{**ENTRY, "input_cost_per_token": 0, "output_cost_per_token": 0}
        | {"litellm_provider": "ollama"}
    )
    shown = lines(
        list_table(
            [
                Listed("chat", "openai", "chat", compiled(**ENTRY)),
                Listed("image", "openai", "image_generation", image),
                Listed("local", "ollama", "chat", nothing),
                Listed("none", "openai", "chat", None, "the price map has no price for it"),
            ]
        )
    )
    assert "local ollama $0.00 $0.00" in shown
    assert "retired after" in " ".join(shown)
    assert any(line.startswith("image openai - - $0.04 / image;") for line in shown)
    assert any(line.startswith("none openai - - the price map has no") for line in shown)
    assert "chat openai $2.00 $4.00" in shown


def test_differences_name_each_model_once() -> None:
    changes = tuple(
        Change("m", meter, "", "token", Decimal("0.000001"), Decimal("0.000002"))
        for meter in ("input", "output")
    )
    shown = lines(difference_tables(Differences((), (), changes)))
    assert [line for line in shown if line in {"m", "n"}] == ["m"]
    assert "input $1.00 $2.00 M tokens +100.0 %" in shown
    assert not any("added" in line or "removed" in line for line in shown)


def test_a_price_from_nothing_has_no_percentage() -> None:
    change = Change("m", "input", "flex", "token", Decimal(0), Decimal("0.000002"))
    shown = lines(difference_tables(Differences(("a", "b"), ("c",), (change,))))
    assert "input, flex $0.00 $2.00 M tokens -" in shown
    assert shown[-7:] == ["2 models added", "a", "b", "", "1 models removed", "c", ""]


def test_findings_are_a_table() -> None:
    shown = lines(finding_table([Finding("m", "openai", 1234, "odd", "it looks swapped")]))
    assert "m openai 1,234 odd it looks swapped" in shown
