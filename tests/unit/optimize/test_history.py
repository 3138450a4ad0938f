from llmcost_plugins.optimize.history import trimmed
from llmcost_plugins.optimize.turns import Turn, groups

SYSTEM = Turn("system")
USER = Turn("user")
SAID = Turn("assistant")


def called(*ids: str) -> Turn:
    return Turn("assistant", calls=ids)


def answered(*ids: str) -> Turn:
    return Turn("tool", answers=ids)


def kept(turns: list[Turn], room: int, keep_last: int = 1) -> list[int]:
    return trimmed(turns, [10] * len(turns), room, keep_last)


def test_what_fits_is_left_alone() -> None:
    assert kept([SYSTEM, USER, SAID, USER], 40) == [0, 1, 2, 3]


def test_whole_rounds_go_the_oldest_first_and_only_as_many_as_must() -> None:
    turns = [SYSTEM, USER, SAID, USER, SAID, USER]
    assert kept(turns, 59) == [0, 3, 4, 5]
    assert kept(turns, 40) == [0, 3, 4, 5]
    assert kept(turns, 39) == [0, 5]


def test_what_must_stay_stays_without_room() -> None:
    assert kept([SYSTEM, USER, SAID, SYSTEM, USER], 0) == [0, 3, 4]
    assert kept([SYSTEM, USER, SAID, USER], 0, keep_last=3) == [0, 1, 2, 3]


def test_within_the_newest_round_the_oldest_tool_calls_go_with_their_answers() -> None:
    turns = [USER, called("a"), answered("a"), called("b"), answered("b"), called("c")]
    turns += [answered("c")]
    assert kept(turns, 69) == [0, 3, 4, 5, 6]
    assert kept(turns, 0) == [0, 5, 6]


def test_a_call_and_all_its_answers_are_one_even_with_something_between() -> None:
    turns = [called("a", "b"), answered("a"), USER, answered("b"), SAID]
    assert groups(turns) == [range(4), range(4, 5)]


def test_of_two_calls_with_one_id_an_answer_belongs_to_the_newer() -> None:
    turns = [called("a"), answered("a"), USER, called("a"), answered("a")]
    assert groups(turns) == [range(2), range(2, 3), range(3, 5)]


def test_an_answer_without_its_call_and_a_call_without_its_answer_stand_alone() -> None:
    assert groups([answered("x"), USER, called("y")]) == [range(1), range(1, 2), range(2, 3)]


def test_what_was_thought_goes_with_what_was_then_done() -> None:
    thought = Turn("assistant", belongs_to_next=True)
    turns = [USER, thought, called("a"), answered("a"), USER]
    assert groups(turns) == [range(1), range(1, 4), range(4, 5)]
