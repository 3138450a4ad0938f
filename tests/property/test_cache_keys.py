"""Equal requests share a key, others do not; what is stored comes back as it was."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.cache import CachedAnswer, NoKey
from llmcost_plugins.cache.entries import pack, unpack
from llmcost_plugins.cache.keys import request_key
from llmcost_plugins.testing.ledger_contract import NOON
from llmcost_plugins.usage import Usage

NAMES = st.text(max_size=8)
PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | NUMBERS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
REQUESTS = st.dictionaries(NAMES, VALUES, max_size=6)


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return the same value with the keys of every dict in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(part, chance)) for key, part in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(part, chance) for part in value]
    return value


def typed(value: Any) -> Any:
    """Return a value that is equal to another one only where they mean the same."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    return (isinstance(value, bool), value)


@given(REQUESTS, st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(request_: Any, chance: random.Random) -> None:
    assert request_key(request_, "") == request_key(shuffled(request_, chance), "")


@given(REQUESTS, REQUESTS)
def test_two_requests_share_a_key_only_when_they_are_equal(one: Any, other: Any) -> None:
    same = typed(one) == typed(other)
    assert (request_key(one, "") == request_key(other, "")) is same


@given(REQUESTS, NAMES, VALUES)
def test_a_changed_field_changes_the_key(request_: Any, name: str, value: Any) -> None:
    changed = {**request_, name: value}
    same = typed(changed) == typed(request_)
    assert (request_key(changed, "") == request_key(request_, "")) is same


@given(REQUESTS, st.text(), st.text())
def test_namespaces_never_meet(request_: Any, one: str, other: str) -> None:
    assert (request_key(request_, one) == request_key(request_, other)) is (one == other)


@given(st.text(), st.text())
def test_long_texts_count_whole(one: str, other: str) -> None:
    one, other = (f"{'x' * 5000}{text}" for text in (one, other))
    same = request_key({"image": one}, "") == request_key({"image": other}, "")
    assert same is (one == other)


def test_a_request_cannot_write_what_stands_for_a_hash() -> None:
    import hashlib

    text = "x" * 5000
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert request_key({"a": text}, "") != request_key({"a": {"$sha256": digest}}, "")
    raw = hashlib.sha256(b"x").hexdigest()
    assert request_key({"a": b"x"}, "") != request_key({"a": {"$bytes": raw}}, "")


def test_a_number_as_a_key_is_what_json_makes_of_it() -> None:
    assert request_key({"bias": {5: 1}}, "") == request_key({"bias": {"5": 1}}, "")


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_is_one_however_it_is_written(number: int) -> None:
    assert request_key({"a": number}, "") == request_key({"a": float(number)}, "")


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), Path(), {None: 2}, {1: 2, "1": 3}, float("nan"), float("-inf")]
)
def test_what_has_no_canonical_form_has_no_key(value: Any) -> None:
    with pytest.raises(NoKey):
        request_key({"deep": [{"value": value}]}, "")


def test_a_request_that_holds_itself_has_no_key() -> None:
    request_: dict[str, Any] = {}
    request_["self"] = request_
    with pytest.raises(NoKey, match="too deeply"):
        request_key(request_, "")


ANSWERS = st.recursive(
    PLAIN | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(
    answer=ANSWERS,
    key=NAMES,
    usage=st.none() | st.builds(Usage, input=st.integers(0, 10**9), output=st.integers(0, 10**9)),
    model=NAMES,
    served=st.none() | NAMES,
    cost=st.none() | st.integers(0, 10**15),
    namespace=st.text(),
)
def test_an_entry_comes_back_as_it_was(answer: Any, key: str, **facts: Any) -> None:
    entry = CachedAnswer(answer=answer, at=NOON, **facts)
    assert unpack(key, pack(key, entry)) == entry


def test_lone_surrogates_come_back_as_they_were() -> None:
    entry = CachedAnswer(answer={"text": "\ud83d and \udc00"}, at=NOON, namespace="\udfff")
    assert unpack("key", pack("key", entry)) == entry
