from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.effects import Part, split
from llmcost_plugins.money import nano_to_usd
from llmcost_plugins.pricing.currencies import Currency
from llmcost_plugins.wording import money_record

PARTS = st.builds(Part, st.integers(0, 10**12), st.integers(-(10**6), 10**15))
PERIODS = st.dictionaries(st.tuples(st.sampled_from("abcdef")), PARTS)


@given(before=PERIODS, now=PERIODS)
def test_the_effects_of_each_segment_add_up_to_its_change_exactly(
    before: dict[tuple[str, ...], Part], now: dict[tuple[str, ...], Part]
) -> None:
    found = split(before, now)
    assert set(found) == set(before) | set(now)
    for group, effects in found.items():
        old, new = before.get(group, Part(0, 0)), now.get(group, Part(0, 0))
        assert sum(effects) == new.cost - old.cost


@given(
    before=PERIODS, now=PERIODS, rate=st.decimals("0.2", "99999", places=6, allow_infinity=False)
)
def test_in_another_currency_the_effects_add_up_exactly_as_well(
    before: dict[tuple[str, ...], Part], now: dict[tuple[str, ...], Part], rate: Decimal
) -> None:
    def said(nano: int) -> Decimal:
        return Decimal(str(money_record("", nano_to_usd(nano), Currency("CNY", rate))["_cny"]))

    with localcontext(prec=60):
        for group, effects in split(before, now).items():
            old, new = before.get(group, Part(0, 0)), now.get(group, Part(0, 0))
            assert sum(map(said, effects)) == said(new.cost - old.cost)


@given(period=PERIODS, times=st.integers(1, 100))
def test_as_much_more_of_everything_is_volume_alone(
    period: dict[tuple[str, ...], Part], times: int
) -> None:
    more = {group: Part(part.tokens * times, part.cost * times) for group, part in period.items()}
    used = {group: part for group, part in period.items() if part.tokens}
    if used:
        for effects in split(used, {group: more[group] for group in used}).values():
            assert (effects.price, effects.mix) == (0, 0)


@given(
    period=st.dictionaries(st.tuples(st.sampled_from("abc")), st.integers(1, 10**9), min_size=1),
    old=st.integers(1, 10**6),
    new=st.integers(1, 10**6),
)
def test_another_price_for_the_same_tokens_is_price_alone(
    period: dict[tuple[str, ...], int], old: int, new: int
) -> None:
    before = {group: Part(tokens, tokens * old) for group, tokens in period.items()}
    now = {group: Part(tokens, tokens * new) for group, tokens in period.items()}
    for group, effects in split(before, now).items():
        assert effects == (period[group] * (new - old), 0, 0)


@given(tokens=st.integers(1, 10**9), dear=st.integers(2, 10**6))
def test_the_same_tokens_at_a_dearer_model_are_mix_alone(tokens: int, dear: int) -> None:
    cheap, costly = ("cheap",), ("dear",)
    before: dict[tuple[str, ...], Part]
    now: dict[tuple[str, ...], Part]
    before = {cheap: Part(3 * tokens, 3 * tokens), costly: Part(tokens, tokens * dear)}
    now = {cheap: Part(tokens, tokens), costly: Part(3 * tokens, 3 * tokens * dear)}
    found = split(before, now).values()
    assert [sum(one[place] for one in found) for place in (0, 1)] == [0, 0]
    assert sum(one.mix for one in found) == 2 * tokens * (dear - 1)
