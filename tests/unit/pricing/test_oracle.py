"""Our costs against those of litellm's own calculator, on litellm's own map."""

import json
import logging
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from llmcost_plugins.money import FINE_PER_USD
from llmcost_plugins.pricing import Prices, cost_of
from llmcost_plugins.pricing.entries import compile_prices
from llmcost_plugins.pricing.layouts import NOT_MODELS
from llmcost_plugins.pricing.sources import installed_map
from llmcost_plugins.usage import Usage
from tests.unit.pricing.shapes import OFF_PEAK, PEAK, PROMPTS, PROVIDERS, SHAPES

if find_spec("litellm") is None:  # importorskip would import it, for seconds and with warnings
    pytest.skip("litellm is not installed", allow_module_level=True)

log = logging.getLogger(__name__)
DOCUMENTED: Final = "1.106.2"
EXAMPLE: Final = re.compile(
    r"^\| `(\w+)` \|[^|]*\| `([^`]+)`, ([^|]+) \| (\S+) \| (\S+) \|", re.MULTILINE
)
MODES: Final = {"chat", "completion", "responses", "embedding"}
# litellm's batch path logs in to these over the network.
NO_BATCHES: Final = frozenset({"github_copilot", "chatgpt"})


@dataclass(frozen=True)
class Case:
    """One comparison."""

    model: str
    provider: str
    entry: Mapping[str, Any]
    shape: str
    theirs: float | str

    @property
    def usage(self) -> Usage:
        return usage_of(self.shape)

    @property
    def is_batch(self) -> bool:
        return self.usage.service_tier == "batch"

    @property
    def has_batch_price(self) -> bool:
        return "input_cost_per_token_batches" in self.entry


def searches_without_a_price(case: Case) -> bool:
    return case.shape == "web searches" and "search_context_cost_per_query" not in case.entry


def batch_reads_for_nothing(case: Case) -> bool:
    cached = case.is_batch and case.usage.cache_read
    return bool(cached) and "cache_read_input_token_cost" not in case.entry


def batch_reads_lose_their_discount(case: Case) -> bool:
    stated = {"cache_read_input_token_cost", "input_cost_per_token_batches"} <= case.entry.keys()
    own = "cache_read_input_token_cost_batches" in case.entry
    return case.is_batch and bool(case.usage.cache_read) and stated and not own


def batch_at_the_price_of_short_prompts(case: Case) -> bool:
    long = any("_above_" in key and "k_tokens" in key for key in case.entry)
    return case.is_batch and long and not case.has_batch_price and case.shape == "batch, long"


def batch_media_at_the_price_of_text(case: Case) -> bool:
    return case.shape == "batch, audio" and not case.has_batch_price


def batch_reasoning_at_the_price_of_text(case: Case) -> bool:
    priced = "output_cost_per_reasoning_token" in json.dumps(dict(case.entry))
    return case.shape == "batch, reasoning" and priced


def batch_writes_with_a_price_of_zero(case: Case) -> bool:
    return case.shape == "batch, written" and case.entry.get("cache_creation_input_token_cost") == 0


def bands_are_not_asked(case: Case) -> bool:
    return "tiered_pricing" in case.entry and (case.is_batch or not case.usage.prompt_tokens)


def batch_not_found_by_name(case: Case) -> bool:
    return case.is_batch and case.theirs == 0


def a_twin_is_priced(case: Case) -> bool:
    for name in (f"{case.provider}/{case.model}", case.model.removeprefix(f"{case.provider}/")):
        twin = entries().get(name)
        if twin is None or name == case.model:
            continue
        prices = compile_prices(name, twin)
        if isinstance(prices, str) or equal(cost(prices, case.shape), case.theirs):
            return True
        if perplexitys_own_formula(replace(case, model=name, entry=twin)):
            return True
    return False


def perplexitys_own_formula(case: Case) -> bool:
    usage, entry = case.usage, case.entry
    reasoning = usage.reasoning if "output_cost_per_reasoning_token" in entry else 0
    flat = (
        usage.prompt_tokens * entry.get("input_cost_per_token", 0)
        + (usage.completion_tokens - reasoning) * entry.get("output_cost_per_token", 0)
        + reasoning * entry.get("output_cost_per_reasoning_token", 0)
    )
    return case.provider == "perplexity" and equal(flat, case.theirs)


def fireworks_tier_is_dropped(case: Case) -> bool:
    dropped = {"priority", "fast"}
    return case.provider == "fireworks_ai" and case.usage.service_tier in dropped


def priority_audio_price_is_dropped(case: Case) -> bool:
    return case.shape == "priority, audio" and "input_cost_per_audio_token_priority" in case.entry


def request_fees_are_left_out(case: Case) -> bool:
    fee = case.entry.get("input_cost_per_request")
    return isinstance(case.theirs, float) and bool(fee)


# docs/prices.md says why, with a worked example each.
CLASSES: Final[dict[str, Callable[[Case], bool]]] = {
    function.__name__: function
    for function in (
        perplexitys_own_formula,
        fireworks_tier_is_dropped,
        batch_reads_for_nothing,
        batch_reads_lose_their_discount,
        bands_are_not_asked,
        batch_at_the_price_of_short_prompts,
        batch_media_at_the_price_of_text,
        batch_reasoning_at_the_price_of_text,
        batch_writes_with_a_price_of_zero,
        priority_audio_price_is_dropped,
        searches_without_a_price,
        batch_not_found_by_name,
        a_twin_is_priced,
        request_fees_are_left_out,
    )
}


@lru_cache
def usage_of(shape: str) -> Usage:
    return Usage(**SHAPES[shape])


def cost(prices: Prices, shape: str) -> float:
    at = OFF_PEAK if shape == "off-peak" else PEAK
    return sum(line.amount for line in cost_of(usage_of(shape), prices, at).lines) / FINE_PER_USD


def equal(ours: float, theirs: object) -> bool:
    return isinstance(theirs, float | int) and abs(ours - theirs) <= 1e-9 * max(ours, theirs)


@lru_cache
def entries() -> dict[str, dict[str, Any]]:
    path = installed_map()
    assert path is not None
    found = json.loads(path.read_text(encoding="utf-8"))
    return {name: entry for name, entry in found.items() if name not in NOT_MODELS}


def documented_examples() -> dict[str, tuple[str, ...]]:
    """Return the table of docs/prices.md: class to model, shape, our cost and litellm's."""
    text = (Path(__file__).parents[3] / "docs" / "prices.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| `([^`]+)`, ([^|]+) \| (\S+) \| (\S+) \|", text, re.MULTILINE
    )
    return {name: tuple(rest) for name, *rest in rows}


def test_each_class_is_documented_with_an_example() -> None:
    assert documented_examples().keys() == CLASSES.keys()
    assert {shape for _, shape, _, _ in documented_examples().values()} <= SHAPES.keys()


def asked_shapes(entry: Mapping[str, Any], provider: str) -> list[str]:
    shapes = PROMPTS if entry["mode"] == "embedding" else SHAPES
    return [
        name
        for name in shapes
        if provider in PROVIDERS.get(name, {provider})
        and not (provider in NO_BATCHES and SHAPES[name].get("service_tier") == "batch")
    ]


def ask_litellm(asked: list[tuple[str, str, list[str]]]) -> list[tuple[str, str, Any]]:
    question = {
        "shapes": SHAPES,
        "asked": asked,
        "peak": PEAK.isoformat(),
        "off_peak": OFF_PEAK.isoformat(),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("oracle.py"))],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[tuple[str, str, Any]] = json.loads(done.stdout.splitlines()[-1])["answers"]
    return answers


@pytest.mark.timeout(600)
def test_costs_equal_those_of_litellm() -> None:
    known: dict[str, tuple[Prices, str]] = {}
    for model, entry in entries().items():
        prices = compile_prices(model, entry)
        if entry.get("mode") in MODES and isinstance(prices, Prices):
            provider = entry["litellm_provider"]
            known[model] = prices, "vertex_ai" if provider.startswith("vertex_ai") else provider
    assert len(known) > 3000
    asked = [(m, p, asked_shapes(entries()[m], p)) for m, (_, p) in known.items()]

    answers = ask_litellm(asked)

    unexplained, classes = [], Counter[str]()
    documented = documented_examples()
    for model, shape, theirs in answers:
        prices, provider = known[model]
        if equal(cost(prices, shape), theirs):
            continue
        case = Case(model, provider, entries()[model], shape, theirs)
        name = next((name for name, holds in CLASSES.items() if holds(case)), None)
        if name is None:
            unexplained.append((model, shape, cost(prices, shape), theirs))
        else:
            classes[name] += 1
            if documented.get(name, ())[:2] == (model, shape):
                ours = cost(prices, shape)
                documented[name] = (*documented[name], f"{ours:.9g}", f"{theirs:.9g}")
    rate = 1 - classes.total() / len(answers)
    log.info("%d comparisons, %.3f %% equal; %s", len(answers), 100 * rate, dict(classes))
    assert unexplained == []
    assert len(SHAPES) >= 30
    # A class that grows hides something new.
    assert rate > 0.95, classes
    if version("litellm") == DOCUMENTED:
        assert {name: row[4:] for name, row in documented.items()} == {
            name: row[2:4] for name, row in documented.items()
        }
