from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins import ConfigurationError
from llmcost_plugins.optimize import Tally, TokenOptimizer
from llmcost_plugins.optimize.duplicates import REPEATED
from llmcost_plugins.pricing.tokenizers import local_tokenizer
from tests.unit.trackers import CATALOG

PARAGRAPH = (
    "The quick brown fox jumps over the lazy dog, and then it rests for a while by the river "
    "bank, where the grass is high."
)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def optimizer(model: str = "acme-1", **options: Any) -> TokenOptimizer:
    return TokenOptimizer(model, catalog=CATALOG, **options)


def test_messages_of_chat_completions() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":  1}'}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be  brief."},
        {"role": "user", "content": [{"type": "text", "text": "What   is  it?"}, PICTURE]},
        {"role": "assistant", "content": "I  look", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "a  cat", "name": "f"},
    ]
    done = optimizer().messages(messages)
    assert done.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]},
        messages[2],
        {"role": "tool", "tool_call_id": "c1", "content": "a cat", "name": "f"},
    ]
    assert done.messages[2] is messages[2]
    assert messages[0]["content"] == "Be  brief."


def test_messages_of_anthropic() -> None:
    marked = {"type": "text", "text": "long   context", "cache_control": {"type": "ephemeral"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": [{"type": "text", "text": "a  b"}],
    }
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [marked]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}],
        },
        {"role": "user", "content": [result]},
    ]
    done = optimizer().messages(messages).messages
    assert done[0]["content"] == [{**marked, "text": "long context"}]
    assert done[1] is messages[1]
    assert done[2]["content"][0]["content"] == [{"type": "text", "text": "a b"}]


def test_items_of_the_responses_api() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "input_text", "text": "a  b"}]},
        {"type": "reasoning", "id": "r1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "x   y"},
        {"role": "user", "content": f"{PARAGRAPH} " * 3},
    ]
    done = optimizer().messages(messages).messages
    assert done[0]["content"][0]["text"] == "a b"
    assert done[1:3] == messages[1:3]
    assert done[3]["output"] == "x y"
    assert optimizer(max_tokens=90, keep_last=1).messages(messages).messages == messages[4:]


def test_the_same_context_twice_is_sent_once() -> None:
    messages = [
        {"role": "user", "content": f"Context:\n\n{PARAGRAPH}\n\nWhat jumps?"},
        {"role": "assistant", "content": PARAGRAPH},
        {"role": "user", "content": f"Context:\n\n{PARAGRAPH}\n\nWhat rests?"},
    ]
    done = optimizer().messages(messages)
    assert done.messages[:2] == messages[:2]
    assert done.messages[2]["content"] == f"Context:\n\n{REPEATED}\n\nWhat rests?"
    assert done.saving.repeated == 1


def test_what_is_repeated_is_not_lost_with_the_message_it_stood_in() -> None:
    messages = [
        {"role": "user", "content": f"{PARAGRAPH}\n\n{'Something else. ' * 40}"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": f"{PARAGRAPH}\n\nWhat rests?"},
    ]
    done = optimizer(max_tokens=100, keep_last=1).messages(messages)
    assert done.messages == messages[2:]
    assert (done.saving.dropped, done.saving.repeated, done.saving.fits) == (2, 0, True)


def test_what_has_no_room_is_truncated_but_never_the_system_message() -> None:
    messages = [
        {"role": "system", "content": f"{PARAGRAPH} " * 20},
        {"role": "user", "content": "One more sentence here. " * 200},
    ]
    saving = optimizer(max_tokens=700).messages(messages)
    assert saving.messages[0] == messages[0]
    assert "tokens left out" in saving.messages[1]["content"]
    assert (saving.saving.truncated, saving.saving.fits) == (1, True)
    tight = optimizer(max_tokens=100).messages(messages).saving
    assert not tight.fits
    assert tight.tokens_after > 100


def test_the_saving_is_priced_as_the_models_input_and_says_how_it_was_counted() -> None:
    text = "a  b" * 10_000
    _, saving = optimizer("claude-sonnet-4-5").text(text)
    assert saving.counted_by == "bytes/4"
    assert saving.estimated
    assert saving.tokens_saved == 2_500
    assert saving.saved_usd == Decimal("0.0075")
    _, unpriced = optimizer("acme-1").text(text)
    assert unpriced.saved_usd is None


@pytest.mark.skipif(local_tokenizer("o200k_base") is None, reason="no encoding is at hand")
def test_with_the_models_own_tokenizer_nothing_is_estimated_but_images() -> None:
    _, saving = optimizer("gpt-4o").text("Hello   world")
    assert (saving.counted_by, saving.estimated) == ("o200k_base", False)
    seen = optimizer("gpt-4o").messages([{"role": "user", "content": [PICTURE]}]).saving
    assert seen.estimated
    assert seen.tokens_before == 1_000


def test_each_step_can_be_left_out() -> None:
    text = f"a  b\n\n{PARAGRAPH}\n\n{PARAGRAPH}\n\nend"
    plain, saving = optimizer(whitespace=False, duplicates=False).text(text)
    assert (plain, saving.tokens_saved) == (text, 0)
    assert optimizer(whitespace=False).text(text)[0].startswith("a  b\n\n")
    assert optimizer(duplicates=False).text(text)[0] == text.replace("  ", " ")


def test_a_tally_adds_up_and_remembers_that_something_was_estimated() -> None:
    tally = Tally()
    for model in ("claude-sonnet-4-5", "acme-1"):
        tally.add(optimizer(model).text("a  b" * 10_000)[1])
    assert (tally.prompts, tally.tokens_saved, tally.saved_usd) == (2, 5_000, Decimal("0.0075"))
    assert tally.estimated


def test_nothing_at_all_is_nothing() -> None:
    done = optimizer().messages([])
    assert (done.messages, done.saving.tokens_before) == ([], 0)
    assert optimizer().text("")[0] == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "model='' is no name"),
        ({"max_tokens": 31}, "max_tokens=31 is no number of at least 32"),
        ({"max_tokens": True}, "max_tokens=True"),
        ({"max_text_tokens": 1.5}, "max_text_tokens=1.5"),
        ({"keep_last": 0}, "keep_last=0 is no number of at least 1"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TokenOptimizer(**{"model": "gpt-4o", **options})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("hello", "message 0 is 'hello', no message; a good one is"),
        ({"content": "x"}, "no message; a good one is"),
        ({"role": "usr", "content": "x"}, "message 0 has the role 'usr'; a good one is 'user'"),
    ],
)
def test_what_is_no_message_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        optimizer().messages([wrong])
