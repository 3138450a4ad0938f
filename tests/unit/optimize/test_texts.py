import gc
import time
from collections.abc import Callable

import pytest

from llmcost_plugins.optimize import TokenOptimizer
from llmcost_plugins.optimize.counting import TokenCounter, tokenizer_of
from llmcost_plugins.optimize.duplicates import REPEATED, Seen
from llmcost_plugins.optimize.truncating import truncated
from llmcost_plugins.optimize.whitespace import normalised

PARAGRAPH = (
    "The quick brown fox jumps over the lazy dog, and then it rests for a while by the river "
    "bank, where the grass is high. "
)
COUNT = TokenCounter(None)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("a  b\t\tc   \nd", "a b c\nd"),
        ("a\n\n\n\nb", "a\n\nb"),
        ("a\r\n\r\n\r\nb\r\n", "a\n\nb\n"),
        ("- a\n   - b  c\n", "- a\n   - b c\n"),
        ("a  ", "a "),
        ("one.  Two.   Three.\n", "one. Two. Three.\n"),
        ("   \n\n  ", "   \n\n  "),
        ("", ""),
    ],
)
def test_runs_of_whitespace_in_prose_become_one(text: str, normal: str) -> None:
    assert normalised(text) == normal


@pytest.mark.parametrize(
    "kept",
    [
        "```\na  =  1\n\n\n\nb\n```\n",
        "   ````md\n```\nx   y\n```\n   ````\n",
        "~~~\nnever   closed  \n\n\n",
        "    code   set in\n\n\n    more   of it\n",
        "\tcode   set in\n",
        "| a   | b  |\n|-----|----|\n",
        "+----+---+\n",
        "name      age\nada       36\n",
        "a\tb\nc\td\n",
        '{"key":   "two  spaces"}\n',
        "{'key':   'two  spaces'}\n",
        "the `a   b` of  it\n",
        "<pre>\na   b\n\n\n\nc</pre>\n",
        "$$x   =   1$$\n",
    ],
)
def test_code_tables_and_strings_of_json_are_not_touched(kept: str) -> None:
    assert normalised(kept) == kept
    assert normalised(f"a  b\n\n\n\n{kept}") == f"a b\n\n{kept}"


def test_a_paragraph_that_stands_before_is_left_out_visibly() -> None:
    seen = Seen()
    first = seen.without(f"{PARAGRAPH}\n\nShort one.\n\nShort one.\n", keeps_last=False)
    assert REPEATED not in first
    second = seen.without(f"Intro.\n\n{PARAGRAPH}\n\nThe end?", keeps_last=True)
    assert second == f"Intro.\n\n{REPEATED}\n\nThe end?"
    assert seen.repeated == 1


def test_a_question_asked_again_stays_and_nearly_the_same_is_not_the_same() -> None:
    seen = Seen()
    seen.without(PARAGRAPH, keeps_last=True)
    assert seen.without(PARAGRAPH, keeps_last=True) == PARAGRAPH
    assert seen.without(f"{PARAGRAPH}!\n\nEnd", keeps_last=True) == f"{PARAGRAPH}!\n\nEnd"
    assert seen.without(PARAGRAPH, keeps_last=False) == REPEATED


def test_a_long_text_loses_its_middle_between_sentences() -> None:
    sentences = [f"This is the sentence number {number}." for number in range(100)]
    text = " ".join(sentences)
    short = truncated(text, 100, COUNT)
    start, mark, end = short.split("\n")
    assert mark.startswith("[... about ")
    assert start == " ".join(sentences[: start.count(".")])
    assert end == " ".join(sentences[-end.count(".") :])
    assert len(start) > len(end) > 0
    assert 80 <= COUNT(short) <= 100


def test_a_block_of_code_is_left_out_as_a_whole_or_not_at_all() -> None:
    code = "```\n" + "x = 1\n" * 100 + "```\n"
    short = truncated(f"Before. {PARAGRAPH}\n{code}After. {PARAGRAPH}\n", 100, COUNT)
    assert "x = 1" not in short
    assert "Before." in short
    assert "After." in short
    assert code in truncated(f"{PARAGRAPH * 50}\n{code}", 600, COUNT)


@pytest.mark.parametrize("text", ["a" * 1000, "中文字" * 200, "word " * 300, "é" * 1000])
def test_a_sentence_that_is_too_long_by_itself_is_cut(text: str) -> None:
    short = truncated(text, 40, COUNT)
    assert text.startswith(short.split("\n")[0].rstrip())
    assert "tokens left out" in short
    assert COUNT(short) <= 40


def test_with_the_models_own_tokenizer_the_limit_is_kept_as_well() -> None:
    tokenizer = tokenizer_of("gpt-4o")
    if tokenizer is None:
        pytest.skip("no encoding is at hand")
    count = TokenCounter(tokenizer)
    text = PARAGRAPH * 100
    assert count(text) == tokenizer.count(text)
    assert 50 <= count(truncated(text, 100, count)) <= 100
    assert count("a \ud800 b") > 0


TEXTS: dict[str, Callable[[int], str]] = {
    "prose": lambda size: PARAGRAPH * (size // len(PARAGRAPH)),
    "one word": lambda size: "a" * size,
    "blank": lambda size: " \n" * (size // 2),
    "fences": lambda size: "```\n" * (size // 4),
    "elements": lambda size: "<pre>" * (size // 5),
    "set in": lambda size: "    x\n\n\n" * (size // 8),
    "quotes": lambda size: "'\n" * (size // 2),
    "columns": lambda size: "a    b\n" * (size // 7),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_time_grows_with_the_size_and_not_with_its_square(name: str) -> None:
    optimizer = TokenOptimizer("acme-1", max_text_tokens=1000)

    def seconds(size: int) -> float:
        text = TEXTS[name](size)
        return min(seconds_of(lambda: optimizer.text(text)) for _ in range(3))

    # 8 times the size; were it the square, 64 times the time.
    assert seconds(320_000) < 40 * seconds(40_000)


def seconds_of(work: Callable[[], object]) -> float:
    # Of this process: other ones may keep the machine busy.
    gc.disable()  # it looks at all that the other tests have left
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()
