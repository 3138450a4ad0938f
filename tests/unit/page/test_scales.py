import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.page.scales import scale_to, tick_text

USD = 10**9


@given(st.integers(0, 10**24))
def test_a_scale_reaches_the_amount_with_at_most_four_round_lines_and_no_empty_one(
    most: int,
) -> None:
    scale = scale_to(most)
    assert scale.top >= most
    assert scale.top - scale.step < max(most, 1)
    assert 1 <= scale.lines <= 4
    assert str(scale.step).rstrip("0") in {"1", "2", "5"}
    assert list(scale.ticks())[-1] == scale.top


@given(st.integers(1, 10**24))
def test_the_lines_of_a_scale_have_different_names(most: int) -> None:
    scale = scale_to(most)
    names = [tick_text(size, scale.step, "$") for size in scale.ticks()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("amount", "step", "name"),
    [
        (0, USD, "$0"),
        (3 * USD, USD, "$3"),
        (USD // 2, USD // 2, "$0.50"),
        (USD + USD // 2, USD // 2, "$1.50"),
        (20_000_000, 20_000_000, "$0.02"),
        (200, 200, "$0.0000002"),
        (1_500 * USD, 500 * USD, "$1.5k"),
        (500 * USD, 500 * USD, "$500"),
        (2_000_000 * USD, 1_000_000 * USD, "$2M"),
    ],
)
def test_a_line_is_named_as_short_as_its_step_allows(amount: int, step: int, name: str) -> None:
    assert tick_text(amount, step, "$") == name
