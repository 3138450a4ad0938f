"""The page in a real browser: nothing is asked of the network, nothing is complained about."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage, attribute
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.reports import spend
from tests.browser import Page, opened_browser
from tests.support import run_llmcost

ODD = "<script>document.title='broken'</script>"
LONG = "W" * 300


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with opened_browser() as page:
        yield page


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Decimal]:
    """Write a page as a user does; return it, and what was spent."""
    folder = tmp_path_factory.mktemp("page")
    budgets = "global=1/month; feature:*=0.02/month"
    url = f"sqlite:///{folder / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url, budgets=parse_budgets(budgets))
    for number, feature in enumerate(["chat", ODD, LONG, "é 🎉"]):
        for model in ("gpt-4o", "gpt-4o-mini"):
            with attribute(feature=feature, team=f"t{number}"):
                size = CallSize(prompt_bound=1000, output_cap=100)
                call = tracker.start(CallSpec(f"{number}{model}", model, "openai", size))
            call.finish(Usage(input=1000 * number + 1, output=100))
    size = CallSize(prompt_bound=1000, output_cap=100)
    tracker.start(CallSpec("held", "gpt-4o", "openai", size))
    (total,) = spend(tracker.ledger, zone=tracker.zone)
    tracker.close()
    path = folder / "report.html"
    done = run_llmcost(
        folder, "report", "--format", "html", "-o", str(path), "--period", "total",
        LLMCOST_LEDGER=url, LLMCOST_BUDGETS=budgets,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return path, total.cost


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_asks_for_nothing_says_nothing_and_fits(
    browser: Page, written: tuple[Path, Decimal], width: int, *, dark: bool
) -> None:
    address = written[0].as_uri()
    browser.open(address, width, dark=dark)
    assert [one for one in browser.requests if not one.startswith("data:")] == [address]
    assert browser.complaints == []
    assert browser.evaluate("document.title").startswith("LLM spend")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(17, 22, 29)" if dark else "rgb(246, 247, 249)")
    # What the style sheet has not reached, because its policy keeps it out, would be black.
    bar = "document.querySelector('.plot .s0')"
    assert browser.evaluate(f"getComputedStyle({bar}).fill") != "rgb(0, 0, 0)"
    assert browser.evaluate(f"{bar}.getBoundingClientRect().height") > 50


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of a span that ends in three weeks, after five weeks of calls."""
    folder = tmp_path_factory.mktemp("month")
    url = f"sqlite:///{folder / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url)
    now = tracker.now()
    for ago in range(36):
        usage = Usage(input=400_000 * (1 + ago % 3))
        tracker.record_usage("gpt-4o", usage, request_id=f"r{ago}", at=now - timedelta(days=ago))
    tracker.close()
    path = folder / "report.html"
    dates = [(now + timedelta(days=days)).date().isoformat() for days in (-9, 21)]
    done = run_llmcost(
        folder, "report", "--format", "html", "-o", str(path), "--since", dates[0],
        "--until", dates[1], LLMCOST_LEDGER=url,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "media"), [(1280, "screen"), (400, "screen"), (700, "print")])
def test_the_rest_of_a_month_is_drawn_within_the_page(
    browser: Page, month: Path, width: int, media: str, *, dark: bool
) -> None:
    browser.open(month.as_uri(), width, dark=dark, media=media)
    assert browser.complaints == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.plot .expected, .end rect')].map("
        "one => one.getBoundingClientRect()).map(one => [one.left, one.right, one.height])"
    )
    assert len(boxes) >= 20
    for left, right, height in boxes:
        assert 0 <= left < right <= width
        assert height > 0
    stroke = browser.evaluate("getComputedStyle(document.querySelector('.plot .expected')).stroke")
    assert stroke != "none"


def test_its_totals_are_those_of_the_ledger(browser: Page, written: tuple[Path, Decimal]) -> None:
    path, spent = written
    browser.open(path.as_uri())
    figure = browser.evaluate("document.querySelector('.first data').value")
    assert Decimal(figure) == spent
    shown = browser.evaluate("document.querySelector('.first .figure').innerText")
    assert shown == f"${spent:.4f}"
    rows = browser.evaluate(
        "[...document.querySelectorAll('tfoot tr')].map("
        "row => [...row.querySelectorAll('data')].map(one => one.value))"
    )
    (*models, over_time), (in_all, *_) = ([*map(Decimal, row)] for row in rows)
    assert sum(models) == over_time == in_all == spent


def test_a_script_in_a_page_would_not_run(browser: Page, written: tuple[Path, Decimal]) -> None:
    path, _ = written
    broken = path.with_name("broken.html")
    text = path.read_text("utf-8")
    broken.write_text(
        text.replace("<main>", f"<main>{ODD}<img src='http://127.0.0.1:9/x'>"), "utf-8"
    )
    browser.open(broken.as_uri())
    assert browser.evaluate("document.title").startswith("LLM spend")
    assert len(browser.complaints) == 2
    assert all("Content Security Policy" in one for one in browser.complaints)


def test_it_prints_in_light_colours_with_whole_tables(
    browser: Page, written: tuple[Path, Decimal]
) -> None:
    browser.open(written[0].as_uri(), 700, dark=True, media="print")
    background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    rows = "[...document.querySelectorAll('.scroll tr')]"
    last = f"{rows}.map(row => row.lastChild.getBoundingClientRect())"
    for cell in browser.evaluate(f"{last}.map(one => [one.right, one.height])"):
        assert 0 < cell[0] <= 700
        assert cell[1] > 0
    assert re.search(rb"^%PDF.*/Type\s*/Page\b", browser.printed(), re.DOTALL)
