"""What the token optimizer promises, for any messages: nothing that counts is touched."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.optimize import TokenOptimizer
from llmcost_plugins.optimize.segments import Kind, segments
from llmcost_plugins.optimize.shapes import texts_of
from llmcost_plugins.optimize.whitespace import normalised

# "acme" has no tokenizer: estimated by bytes, which is quick.
MODEL = "acme-1"
WORDS = "The quick  brown fox jumps over   the lazy dog and then it rests for a while by the river."
PIECES = st.one_of(
    st.sampled_from(
        [
            WORDS,
            f"{WORDS} {WORDS}",
            "  it's   short",
            "\n",
            "\n\n\n",
            " \t\n",
            "```python\nx  =   1\n\n\ny = '''  a'''\n```",
            "~~~\nnever   closed",
            "| a   | b |\n|-----|---|\n| 1   | 2 |",
            "name      age\nada       36",
            '{"key":   "two  spaces", "n":  1}',
            "    indented   code\n\n\n    more   of it",
            "<pre>\n  kept   as is\n\n\n</pre>",
            "<code>never   closed",
            "`inline   code` in a   line",
            "中文。" * 30,
            "windows   line\r\n\r\n\r\nends\r\n",
            "a  \u2028  b \x0b  c",
        ]
    ),
    st.text(alphabet=" \t\n\r`~|\"'{}<>+-ab.é中\ud800", max_size=40),
)
TEXTS = st.lists(PIECES, max_size=8).map("\n".join)
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,  AA  "}}


@st.composite
def content(draw: st.DrawFn) -> Any:
    text = draw(TEXTS)
    if draw(st.booleans()):
        return text
    return [{"type": "text", "text": text}, PICTURE, {"type": "text", "text": draw(TEXTS)}]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(TEXTS)})
    for number in range(draw(st.integers(1, 5))):
        messages.append({"role": "user", "content": draw(content())})
        for step in range(draw(st.integers(0, 3))):
            ids = [f"{number}-{step}-{at}" for at in range(draw(st.integers(1, 2)))]
            if draw(st.booleans()):
                messages += openai_calls(ids, [draw(TEXTS) for _ in ids])
            else:
                messages += anthropic_calls(ids, [draw(content()) for _ in ids])
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(TEXTS)})
    return messages


def openai_calls(ids: list[str], results: list[str]) -> list[dict[str, Any]]:
    calls = [
        {"id": one, "type": "function", "function": {"name": "f", "arguments": '{"a":   1}'}}
        for one in ids
    ]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *(
            {"role": "tool", "tool_call_id": one, "content": result}
            for one, result in zip(ids, results, strict=True)
        ),
    ]


def anthropic_calls(ids: list[str], results: list[Any]) -> list[dict[str, Any]]:
    calls = [{"type": "tool_use", "id": one, "name": "f", "input": {"a": "  b"}} for one in ids]
    answers = [
        {"type": "tool_result", "tool_use_id": one, "content": result}
        for one, result in zip(ids, results, strict=True)
    ]
    return [{"role": "assistant", "content": calls}, {"role": "user", "content": answers}]


OPTIMIZERS = st.builds(
    TokenOptimizer,
    st.just(MODEL),
    max_tokens=st.one_of(st.none(), st.integers(32, 400)),
    max_text_tokens=st.one_of(st.none(), st.integers(32, 100)),
    keep_last=st.integers(1, 4),
    whitespace=st.booleans(),
    duplicates=st.booleans(),
)


def texts(messages: list[Any]) -> list[str]:
    return [text for message in messages for text in texts_of(message["content"])]


def kept_parts(messages: list[Any]) -> set[str]:
    return {
        part.text.removesuffix("\n")
        for text in texts(messages)
        for part in segments(text)
        if part.kind is Kind.KEPT
    }


def ids(messages: list[Any]) -> tuple[list[str], list[str]]:
    calls: list[str] = []
    answers: list[str] = []
    for message in messages:
        calls += [call["id"] for call in message.get("tool_calls") or ()]
        answers += [message["tool_call_id"]] if "tool_call_id" in message else []
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "tool_use":
                calls.append(block["id"])
            if block["type"] == "tool_result":
                answers.append(block["tool_use_id"])
    return calls, answers


@given(TEXTS)
def test_the_segments_of_a_text_are_the_text(text: str) -> None:
    assert "".join(part.text for part in segments(text)) == text


@given(TEXTS)
def test_whitespace_is_normalised_once_and_around_what_is_kept(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert len(once) <= len(text)
    assert once.split() == text.split() or {"\u2028", "\x0b"} & set(text)
    kept = [part.text for part in segments(text) if part.kind is Kind.KEPT]
    assert [part.text for part in segments(once) if part.kind is Kind.KEPT] == kept


@given(conversations(), OPTIMIZERS)
def test_every_protected_part_that_is_left_is_byte_identical_to_one_that_was_there(
    messages: list[Any], optimizer: TokenOptimizer
) -> None:
    after = optimizer.messages(messages).messages
    assert kept_parts(after) <= kept_parts(messages)
    if optimizer.max_tokens is None and optimizer.max_text_tokens is None:
        assert kept_parts(after) == kept_parts(messages)


@given(conversations(), OPTIMIZERS)
def test_tool_calls_the_models_words_and_images_pass_unchanged(
    messages: list[Any], optimizer: TokenOptimizer
) -> None:
    before = json.dumps(messages)
    after = optimizer.messages(messages).messages
    assert json.dumps(messages) == before
    said = [message for message in messages if message["role"] == "assistant"]
    assert all(one in said for one in after if one["role"] == "assistant")
    for message in after:
        for block in message["content"] if isinstance(message["content"], list) else ():
            assert block["type"] != "image_url" or block == PICTURE


@given(conversations(), OPTIMIZERS)
def test_to_optimize_twice_changes_nothing(messages: list[Any], optimizer: TokenOptimizer) -> None:
    once = optimizer.messages(messages)
    twice = optimizer.messages(once.messages)
    assert twice.messages == once.messages
    assert twice.saving.tokens_saved == twice.saving.dropped == twice.saving.truncated == 0


@given(conversations(), OPTIMIZERS)
def test_nothing_grows(messages: list[Any], optimizer: TokenOptimizer) -> None:
    done = optimizer.messages(messages)
    assert done.saving.tokens_after <= done.saving.tokens_before
    assert len(json.dumps(done.messages)) <= len(json.dumps(messages))
    assert len(done.messages) == len(messages) - done.saving.dropped
    assert sum(map(len, texts(done.messages))) <= sum(map(len, texts(messages)))


@given(conversations(), OPTIMIZERS)
def test_tool_calls_and_their_results_stay_pairs(
    messages: list[Any], optimizer: TokenOptimizer
) -> None:
    calls, answers = ids(optimizer.messages(messages).messages)
    assert calls == answers


@given(conversations(), OPTIMIZERS)
def test_the_system_message_the_question_and_the_newest_messages_stay(
    messages: list[Any], optimizer: TokenOptimizer
) -> None:
    after = optimizer.messages(messages).messages
    roles = [message["role"] for message in after]
    assert (roles[0] == "system") == (messages[0]["role"] == "system")
    assert roles[-optimizer.keep_last :] == [
        message["role"] for message in messages[-optimizer.keep_last :]
    ]
    assert "user" in roles


@given(conversations(), OPTIMIZERS)
def test_it_fits_or_says_that_it_does_not(messages: list[Any], optimizer: TokenOptimizer) -> None:
    saving = optimizer.messages(messages).saving
    room = optimizer.max_tokens
    assert saving.fits == (room is None or saving.tokens_after <= room)
