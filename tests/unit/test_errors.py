import pickle
import re
from datetime import UTC, datetime

import pytest

from llmcost_plugins import errors
from llmcost_plugins.errors import (
    AllModelsFailed,
    BudgetExceeded,
    ConfigurationError,
    LedgerUnavailable,
    LLMCostError,
    MissingExtra,
    ModelUnsuitable,
    PriceUnknown,
    Refusal,
)

REFUSAL = Refusal(
    scope="user:u1",
    period="day",
    limit=2_000_000_000,
    spent=1_500_000_000,
    held=400_000_000,
    holds=2,
    needed=123_456_789,
    resets_at=datetime(2026, 3, 11, tzinfo=UTC),
    may_fall_back=True,
)
EXAMPLES = [
    ConfigurationError("bad"),
    MissingExtra.of("langchain", "langchain_core"),
    PriceUnknown("gpt-9", "it is not in the price map"),
    BudgetExceeded(REFUSAL, "gpt-4o", waited=True),
    AllModelsFailed([("gpt-4o", "no money"), ("gpt-4o-mini", "timeout")]),
    ModelUnsuitable("'gpt-4o' takes no image"),
    LedgerUnavailable("locked"),
    LLMCostError("base"),
]


def tree() -> dict[str, str]:
    """Return each error of the module with its base."""
    found = {}
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            # A missing extra is an ImportError besides: it is raised by an import, not by a call.
            ours, *others = kind.__bases__
            assert others == ([ImportError] if kind is MissingExtra else [])
            found[name] = ours.__name__
    return found


def test_every_error_has_an_example_here() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(tree())


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn: dict[str, str] = {"LLMCostError": "Exception"}
    parents = {0: "LLMCostError"}
    for line in str(errors.__doc__).splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4 + 1
            parents[depth] = match[2]
            drawn[match[2]] = parents[depth - 1]
    assert drawn == tree()


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_to_another_process(error: LLMCostError) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert vars(copy) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_no_error_is_of_a_kind_that_frameworks_swallow(error: LLMCostError) -> None:
    bases = set(type(error).__mro__)
    assert bases <= {
        LLMCostError,
        ConfigurationError,
        type(error),
        Exception,
        BaseException,
        object,
        *([ImportError] if isinstance(error, MissingExtra) else []),
    }


def test_a_refusal_says_its_numbers_and_the_remedy() -> None:
    assert str(BudgetExceeded(REFUSAL, "gpt-4o")) == (
        "budget 'user:u1' per day: this call to 'gpt-4o' may cost up to $0.1235, but $0.1000 is "
        "left of $2.00 ($1.50 spent, $0.4000 held by 2 calls in flight). It resets at "
        "2026-03-11T00:00:00+00:00. Make the call smaller (its output cap counts), use a cheaper "
        "model, or raise the limit."
    )


def test_one_call_in_flight_is_one_call() -> None:
    refusal = Refusal("run:r", "run", 1, 0, 1, 1, 1, None, may_fall_back=False)
    message = str(BudgetExceeded(refusal, "gpt-4o"))
    assert "held by 1 call in flight). It does not reset by itself." in message


def test_an_overdraft_is_called_so() -> None:
    refusal = Refusal("global", "day", 10**9, 3 * 10**9, 0, 0, 1, None, may_fall_back=False)
    message = str(BudgetExceeded(refusal, "gpt-4o"))
    assert "but the limit of $1.00 is overdrawn by $2.00 ($3.00 spent)." in message


@pytest.mark.parametrize(("needed", "only_holds"), [(500_000_000, True), (500_000_001, False)])
def test_holds_alone_stand_in_the_way_if_the_call_fits_without_them(
    needed: int, only_holds: bool
) -> None:
    refusal = Refusal("global", "day", 2 * 10**9, 15 * 10**8, 10**9, 2, needed, None, False)
    assert refusal.only_holds_stand_in_the_way is only_holds


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EXAMPLES[1], ["'langchain_core'", "pip install 'llmcost-plugins[langchain]'"]),
        (EXAMPLES[2], ["'gpt-9'", "it is not in the price map", "LLMCOST_UNKNOWN_MODEL=ceiling:"]),
        (EXAMPLES[4], ["2 candidate", "'gpt-4o': no money", "'gpt-4o-mini': timeout", "Add a"]),
    ],
)
def test_a_message_names_what_is_wrong_and_what_to_do(
    error: LLMCostError, words: list[str]
) -> None:
    assert [word for word in words if word not in str(error)] == []
