"""Prices: the cost of a usage against litellm's, and what the catalog takes to load and to ask."""

import statistics
import subprocess
import sys
import timeit

import pytest

from llmcost_plugins import Usage
from llmcost_plugins.pricing import CallSize, Catalog, cost_of, estimate
from tests.benchmarks.harness import compare, tell

RUNS = 9
FIRST_USE = """
import json, re, time
import llmcost_plugins.pricing.catalog as catalog
def rss():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
memory, start = rss(), time.process_time()
found = catalog.Catalog.load().resolve("claude-sonnet-4-5", "anthropic")
milliseconds = (time.process_time() - start) * 1e3
assert found.prices is not None
print(milliseconds, rss() - memory)
"""


@pytest.mark.filterwarnings("ignore::UserWarning")  # litellm's import under the newest pydantic
def test_cost_of_one_usage_against_litellm() -> None:
    litellm = pytest.importorskip("litellm")
    prices = Catalog.load().resolve("gpt-4o", "openai").prices
    assert prices is not None
    usage = Usage.from_totals(1000, 500, cache_read=200, reasoning=100)
    reported = {
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    response = litellm.ModelResponse(model="gpt-4o", usage=litellm.Usage(**reported))
    measured = compare(
        lambda: litellm.completion_cost(response), lambda: cost_of(usage, prices), calls=200
    )
    tell("cost of one usage", "litellm.completion_cost", measured, "0.05x")


def test_first_use_of_the_catalog_in_a_new_process() -> None:
    done = [
        subprocess.run(
            [sys.executable, "-c", FIRST_USE], capture_output=True, text=True, check=True
        )
        for _ in range(RUNS)
    ]
    figures = [tuple(map(float, one.stdout.split())) for one in done]
    milliseconds = statistics.median(ms for ms, _ in figures)
    megabytes = statistics.median(mb for _, mb in figures)
    print(
        f"\nfirst use of the catalog: {milliseconds:.0f} ms CPU, {megabytes:.1f} MB; "
        f"target 40 ms, 12 MB"
    )


def test_asking_for_a_known_name_and_estimating() -> None:
    catalog = Catalog.load()
    prices = catalog.resolve("gpt-4o", "openai").prices
    assert prices is not None
    size = CallSize(1000, 100)
    for what, ask, target in (
        ("resolution of a known name", lambda: catalog.resolve("gpt-4o", "openai"), "2 us"),
        ("estimate of a call", lambda: estimate(size, prices, 4096), "as little as can be"),
    ):
        fastest = min(timeit.repeat(ask, number=10_000, repeat=5)) / 10_000 * 1e6
        print(f"\n{what}: {fastest:.2f} us; target {target}")
