import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import RESERVED_KEYS, Labels, attribute, current_labels, make_labels


def test_inner_labels_win_and_tags_add_up() -> None:
    with attribute(user="u1", team="a", tags=["x", "y"]):
        with attribute(user="u2", feature="chat", tags=["y", "z"]) as inner:
            assert current_labels() is inner
            assert inner.values == {"user": "u2", "team": "a", "feature": "chat"}
            assert inner.tags == ("x", "y", "z")
        assert current_labels() == make_labels({"user": "u1", "team": "a"}, ["x", "y"])
    assert current_labels() == Labels()


def test_labels_are_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), attribute(user="u1"):
        raise KeyError
    assert current_labels() == Labels()


def test_an_integer_is_written_out_and_none_is_left_out() -> None:
    assert make_labels({"user": 7, "team": None, "feature": "x"}).values == {
        "user": "7",
        "feature": "x",
    }


@pytest.mark.parametrize("key", ["", "a b", "1st", "a-b", "a.b", *sorted(RESERVED_KEYS)])
def test_a_key_that_is_no_name_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="label key") as caught:
        make_labels({key: "x"})
    assert repr(key) in str(caught.value)


@pytest.mark.parametrize("value", ["", "a\nb", "\x00", "\ud800", True, 1.5, b"x", ["x"], {"x": 1}])
def test_a_value_that_is_no_line_of_text_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_labels({"user": value})
    assert "'user'" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("tag", ["", "a\nb", 1, None, ["x"]])
def test_a_tag_that_is_no_word_is_refused(tag: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_labels({}, ["good", tag])  # type: ignore[list-item]  # what users get wrong
    assert repr(tag) in str(caught.value)


def test_a_string_in_place_of_tags_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"tags=\['exp-1'\]"), attribute(tags="exp-1"):
        pass


def test_labels_are_facts_that_can_be_keys() -> None:
    one, same = (make_labels({"user": "u1", "team": "a"}, ["x"]) for _ in range(2))
    assert hash(one) == hash(same)
    assert {one: 1}[same] == 1
    with pytest.raises(TypeError):
        one.values["user"] = "u2"  # type: ignore[index]  # that it is refused is the point


def test_a_plain_thread_starts_without_labels_and_a_copied_context_has_them() -> None:
    seen: list[Labels] = []
    with attribute(user="u1") as labels:
        thread = threading.Thread(target=lambda: seen.append(current_labels()))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(copy_context().run, current_labels).result())
    assert seen == [Labels(), labels]


async def test_tasks_inherit_labels_and_do_not_disturb_each_other() -> None:
    async def one(name: str) -> str:
        with attribute(user=name):
            await asyncio.sleep(0)
            labels = current_labels().values
            await asyncio.to_thread(lambda: None)
            assert current_labels().values == labels
            return labels["team"] + labels["user"]

    with attribute(team="a"):
        assert await asyncio.gather(*(one(n) for n in "xyz")) == ["ax", "ay", "az"]
    assert current_labels() == Labels()
