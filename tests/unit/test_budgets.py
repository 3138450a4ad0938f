import pickle
from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.budgets import (
    Action,
    Budget,
    BudgetBook,
    BudgetStatus,
    Subject,
    parse_budgets,
)
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.periods import Period

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def subject(model: str = "gpt-4o", provider: str = "openai", **labels: str) -> Subject:
    return Subject(model, provider, make_labels(labels), "run-1")


def scopes(budget: Budget, of: Subject) -> list[str]:
    return [bucket.scope for bucket in BudgetBook([budget]).buckets(of, NOON)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("global=1000/month", Budget("global", 1000, "month")),
        ("team:alpha=200/month:raise", Budget("team:alpha", 200, "month", "raise")),
        ("user:*=2/day:warn", Budget("user:*", 2, "day", "warn")),
        ("run=0.50", Budget("run", "0.5")),
        ("run:raise=1", None),
        ("run=1:raise", Budget("run", 1, on_exceed="raise")),
        ("session:*=1/total", Budget("session:*", 1)),
        ("model:llama3:8b=5/week", Budget("model:llama3:8b", 5, "week")),
        ("model:openai/gpt-4o=5/hour", Budget("model:openai/gpt-4o", 5, "hour")),
        ("user:a+b@x.com=1/day", Budget("user:a+b@x.com", 1, "day")),
        ('user:"a; b: c=d/e"=1/day', Budget('user:"a; b: c=d/e"', 1, "day")),
        ("user:a=b=1/day", Budget("user:a=b", 1, "day")),
        (
            "team:alpha+feature:chat=50/quarter",
            Budget("team:alpha+feature:chat", 50, "quarter"),
        ),
        (
            " team : alpha + feature : chat = 50 / year : warn ",
            Budget("team:alpha+feature:chat", 50, "year", "warn"),
        ),
        ("run+user:*=1", Budget("run+user:*", 1)),
        ("user:*+run=1", Budget("user:*+run", 1)),
        ("größe:*=1", Budget("größe:*", 1)),
    ],
)
def test_a_budget_is_read_from_its_env_form(text: str, expected: Budget | None) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError):
            parse_budgets(text)
    else:
        assert parse_budgets(text) == (expected,)


def test_several_budgets_are_joined_by_semicolons() -> None:
    budgets = parse_budgets('; global=1000/month;user:"x;y"=2/day ; ;run=0.50;')
    assert [str(budget) for budget in budgets] == [
        "global=1000/month:fallback",
        'user:"x;y"=2/day:fallback',
        "run=0.5:fallback",
    ]
    assert parse_budgets("") == parse_budgets(" ; ") == ()


@pytest.mark.parametrize(
    "scope",
    [
        "global",
        "run",
        "user:a b",
        'user:"a;b"',
        'user:" padded "',
        'user:"a+team:b"',
        'user:"a+run"',
        'user:"a + team : b"',
        "user:a+b@x.com",
        "model:llama3:8b",
        "team:*+feature:*",
        'team:"x;y"+user:"a+b:c"+model:m',
        "user:+",
        "user:a++team:b",
    ],
)
def test_a_scope_is_written_as_it_is_read(scope: str) -> None:
    budget = Budget(scope, "0.000000001", "total" if scope == "run" else "day", Action.WARN)
    assert budget.scope == scope
    assert parse_budgets(str(budget)) == (budget,)


def test_quotes_that_are_not_needed_are_dropped() -> None:
    assert Budget('user:"u1"', 1) == Budget("user:u1", 1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("global", "'global'"),
        ("global=", "''"),
        ("=5", "'=5'"),
        ("global=abc/day", "'abc'"),
        ("global=$5/day", "'$5'"),
        ("global=-1/day", "'-1'"),
        ("global=nan", "'nan'"),
        ("global=inf/day", "'inf'"),
        ("global=0.0000000001", "'0.0000000001'"),
        ("global=5000000000", "'5000000000'"),
        ("global=1e999999", "'1e999999'"),
        ("global=5/dy", "'dy'"),
        ("global=5/", "''"),
        ("global=5/day:", "''"),
        ("global=5/day:explode", "'explode'"),
        ("global=5/day:raise:x", "'raise:x'"),
        ("run=5/day", "'day'"),
        ("run+user:*=5/day", "'day'"),
        ("run:x=5", "'run:x'"),
        ("global:x=5", "'global:x'"),
        ("tags:x=5", "'tags:x'"),
        ("user=5", "'user'"),
        ("user:=5", "'user:'"),
        ('user:""=5', "'user:\"\"'"),
        ("a-b:x=5", "'a-b:x'"),
        ("user:a\tb=5", r"'user:a\tb'"),
        ('user:"a=5', "'user:\"a'"),
        ('user:a"b=5', "'user:a\"b'"),
        ("user:a+user:b=5", "'user:a+user:b'"),
        ("user:a+global=5", "'user:a+global'"),
        ("global+user:a=5", "'global+user:a'"),
        ("global=5/day; global=6/day", "'global'"),
        ("global=5/day, run=1", "join them by ';'"),
        ("team:a=5/day, user:*=1", "join them by ';'"),
        ("team:a=5 requests, user:u+run=1", "join them by ';'"),
        ("user:a+team:b=5; team:b+user:a=6", "'team:b+user:a'"),
    ],
)
def test_bad_text_gives_one_error_that_names_the_part(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_budgets(text, where="MY_BUDGETS")
    message = str(caught.value)
    assert message.startswith("MY_BUDGETS: ")
    assert named in message
    assert "A good value is 'team:alpha=200/month; " in message


def test_the_example_of_a_good_value_is_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_budgets("bad")
    assert len(parse_budgets(str(caught.value).rpartition("A good value is ")[2].strip("'"))) == 3


@pytest.mark.parametrize("limit", [None, True, b"5", [5], 0.5, Decimal("nan"), object()])
def test_a_limit_of_another_kind_is_refused_by_name(limit: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Budget("user:u1", limit)  # type: ignore[arg-type]  # what users get wrong
    assert "'user:u1'" in str(caught.value)
    assert str(limit) in str(caught.value)


def test_a_float_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"write it as '0\.1'"):
        Budget("global", 0.1)  # type: ignore[arg-type]  # what users get wrong


def test_a_budget_is_a_fact() -> None:
    budget = Budget("team:alpha+feature:chat", "12.50", Period.MONTH)
    assert (budget.limit, budget.limit_count) == (Decimal("12.5"), 12_500_000_000)
    assert pickle.loads(pickle.dumps(budget)) == budget
    assert {budget: 1}[Budget("team:alpha+feature:chat", "12.5", "month")] == 1


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("global", ["global"]),
        ("run", ["run:run-1"]),
        ("user:u1", ["user:u1"]),
        ("user:u2", []),
        ("user:*", ["user:u1"]),
        ("session:*", []),
        ("model:gpt-4o", ["model:gpt-4o"]),
        ("model:*", ["model:gpt-4o"]),
        ("model:gpt-4o-mini", []),
        ("provider:openai", ["provider:openai"]),
        ("team:a+user:*", ["team:a+user:u1"]),
        ("team:b+user:*", []),
        ("run+user:*", ["run:run-1+user:u1"]),
    ],
)
def test_a_call_touches_the_buckets_that_cover_it(scope: str, expected: list[str]) -> None:
    assert scopes(Budget(scope, 1), subject(user="u1", team="a")) == expected


def test_a_quoted_value_is_matched_as_it_is() -> None:
    budget = Budget('user:"a+team:b"', 1)
    assert scopes(budget, subject(user="a+team:b")) == ['user:"a+team:b"']
    assert scopes(budget, subject(user="a", team="b")) == []


def test_buckets_of_different_values_budgets_and_periods_have_different_keys() -> None:
    budgets = [
        Budget(scope, 1, per)
        for scope in ("global", "user:*", "user:u1", "team:*+user:*")
        for per in ("day", "month")
    ]
    book = BudgetBook(budgets)
    calls = [
        (subject(user=user, team=team), at)
        for user in ("u1", "u1|a", "a|u1", "u1\\|a", "u1+user:a")
        for team in ("a", "a|u1", "a+user:u1", "*")
        for at in (NOON, datetime(2026, 4, 1, tzinfo=UTC))
    ]
    found = [bucket for call, at in calls for bucket in book.buckets(call, at)]
    facts = {
        (b.budget.scope, b.budget.per, b.starts_at, tuple(b.match.items())): b.key for b in found
    }
    assert len(set(facts.values())) == len(facts) == len({b.key for b in found})


def test_a_bucket_knows_its_period_in_the_zone_of_the_budgets() -> None:
    book = BudgetBook([Budget("global", "1.5", "day")], ZoneInfo("Asia/Tokyo"))
    for at in (NOON, NOON.replace(hour=16), NOON.replace(hour=13)):
        (bucket,) = book.buckets(subject(), at)
        day = 10 if at.hour == 16 else 9
        assert bucket.starts_at == datetime(2026, 3, day, 15, tzinfo=UTC)
        assert bucket.resets_at == datetime(2026, 3, day + 1, 15, tzinfo=UTC)
        assert bucket.limit == 1_500_000_000


def test_a_book_names_the_labels_that_it_looks_at() -> None:
    budgets = parse_budgets("global=1;run=1;model:*=1;provider:x+cost_center:*=1;user:u1=1")
    assert BudgetBook(budgets).label_keys == {"cost_center", "user"}


def test_two_budgets_of_one_scope_need_different_periods() -> None:
    BudgetBook([Budget("global", 1, "day"), Budget("global", 2, "month"), Budget("user:*", 1)])
    with pytest.raises(ConfigurationError, match="'global' per day"):
        BudgetBook([Budget("global", 1, "day"), Budget("global", 2, "day", "warn")])


def test_what_is_left_is_exact_whatever_the_decimal_context() -> None:
    status = BudgetStatus(
        "global",
        Period.TOTAL,
        Decimal(1000),
        Decimal("999.123456789"),
        Decimal("0.876543210"),
        1,
        None,
    )
    with localcontext(Context(prec=3)):
        assert status.left == Decimal("0.000000001")


def test_an_overdraft_is_negative_and_no_limit_is_nothing() -> None:
    nothing = Decimal(0)
    overdrawn = BudgetStatus("global", Period.DAY, Decimal(1), Decimal(3), nothing, 0, None)
    unlimited = BudgetStatus("global", Period.DAY, None, Decimal(3), nothing, 0, None)
    assert (overdrawn.left, unlimited.left) == (Decimal(-2), None)


@pytest.mark.parametrize("value", ["cn=a,ou=b", "uid=12,", '"x=1, user:y"'])
def test_a_value_may_have_commas_and_equals_signs(value: str) -> None:
    (budget,) = parse_budgets(f"user:{value}=5/day")
    assert budget.scope == f"user:{value}"
    assert parse_budgets(str(budget)) == (budget,)
