from hypothesis import assume, given
from hypothesis import strategies as st

from llmcost_plugins.budgets import Action, Budget, BudgetBook, Subject, parse_budgets
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import RESERVED_KEYS, make_labels
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.periods import Period
from llmcost_plugins.testing.ledger_contract import NOON

KEYS = st.sampled_from(["user", "team", "feature", "model", "provider", "cost_center", "größe"])
# Characters that mean something in the grammar come up often.
VALUES = st.text(st.sampled_from("ab1 +:;=/*@.|\\é") | st.characters(), min_size=1, max_size=12)
USABLE = VALUES.filter(lambda text: text.isprintable() and '"' not in text)


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    parts = draw(st.dictionaries(KEYS, USABLE, min_size=1, max_size=3))
    quoted = "+".join(f'{key}:"{value}"' for key, value in parts.items())
    scope = draw(st.sampled_from(["global", "run", quoted, f"{quoted}+run", f"run+{quoted}"]))
    per = Period.TOTAL if "run" in scope.split("+") else draw(st.sampled_from(Period))
    limit = nano_to_usd(draw(st.integers(0, 10**15)))
    return Budget(scope, limit, per, draw(st.sampled_from(Action)))


@given(st.lists(budgets(), max_size=3))
def test_budgets_are_read_back_as_they_are_written(written: list[Budget]) -> None:
    text = "; ".join(map(str, written))
    try:
        BudgetBook(written)
    except ConfigurationError:
        assume(False)
    assert parse_budgets(text) == tuple(written)


@given(st.text(st.sampled_from('abglor u:+*";=/1.5dy \t') | st.characters(), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_budgets(text)
    except ConfigurationError:
        return
    assert parse_budgets("; ".join(map(str, found))) == found


@given(st.dictionaries(KEYS.filter(lambda k: k not in RESERVED_KEYS), USABLE, min_size=1))
def test_a_budget_for_exactly_these_labels_covers_a_call_that_has_them(
    labels: dict[str, str],
) -> None:
    budget = Budget("+".join(f'{key}:"{value}"' for key, value in labels.items()), 1)
    subject = Subject("m", "p", make_labels(labels), "r")
    (bucket,) = BudgetBook([budget]).buckets(subject, NOON)
    assert bucket.match == labels
    first = next(iter(labels))
    assume(labels[first] != "*")
    other = Subject("m", "p", make_labels({**labels, first: labels[first] + "x"}), "r")
    assert BudgetBook([budget]).buckets(other, NOON) == []
