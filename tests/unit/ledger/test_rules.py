import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.budgets import Unit
from llmcost_plugins.ledger.rules import dump

UNICODE = st.text(st.characters(codec="utf-8"))
STORED = st.recursive(
    st.none() | st.booleans() | st.integers() | UNICODE,
    lambda inner: st.lists(inner) | st.dictionaries(UNICODE, inner),
)


@given(STORED)
def test_values_are_dumped_as_the_compact_json_of_the_standard_library(value: object) -> None:
    assert dump(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def test_tuples_are_lists_and_units_their_words() -> None:
    assert dump({"input": (2, "0.000001"), "unit": Unit.USD}) == (
        '{"input":[2,"0.000001"],"unit":"usd"}'
    )


def test_a_text_without_a_form_in_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        dump({"model": "\ud800"})
