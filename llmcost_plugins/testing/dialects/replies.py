"""What is answered, in no provider's words."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from llmcost_plugins.testing.behavior import Behavior
from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.asks import Ask, Calling, Tool
from llmcost_plugins.testing.dialects.saying import arguments_for, json_object_for, mentions
from llmcost_plugins.testing.schema_instance import instance_of
from llmcost_plugins.testing.tokens import split_answer

_ECHOED_CHARACTERS = 200
_FILLER = " and"
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class Piece(NamedTuple):
    """A token of an answer: of its text, or of the tool call with this number.

    A call begins with a piece that has its `name` and no text.
    """

    text: str
    call: int | None = None
    name: str = ""


class End(Enum):
    """Why an answer ended."""

    DONE = "done"
    TOOLS = "tools"
    LENGTH = "length"
    STOP_SEQUENCE = "stop sequence"


class ToolCall(NamedTuple):
    """A whole call of a tool."""

    name: str
    arguments: str
    """JSON, unless the answer was cut by the cap."""

    def parsed(self) -> Mapping[str, Any]:
        """Return the arguments, none of them if the JSON was cut."""
        try:
            arguments: Mapping[str, Any] = json.loads(self.arguments)
        except ValueError:
            return {}
        return arguments


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, token by token."""

    pieces: Sequence[Piece]
    end: End
    tokens: int
    """All tokens, `reasoning` included; may be scripted, and so differ from the pieces."""
    reasoning: int
    stopped_by: str | None = None
    """The stop sequence that ended it."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece.text for piece in self.pieces if piece.call is None)

    @property
    def calls(self) -> list[ToolCall]:
        """The whole calls of tools."""
        return [
            ToolCall(
                next(piece.name for piece in self.pieces if piece.call == number),
                "".join(piece.text for piece in self.pieces if piece.call == number),
            )
            for number in dict.fromkeys(p.call for p in self.pieces if p.call is not None)
        ]


def make_reply(ask: Ask, behavior: Behavior) -> Reply:
    """Answer. Raises ValueError for a JSON schema without an instance."""
    cap, reasoning = ask.cap, behavior.reasoning_tokens
    pieces, end, stopped_by = _pieces(ask, behavior)
    tokens = behavior.completion_tokens
    if tokens is None:
        tokens = len(pieces) + reasoning
    if cap is not None and tokens > cap:
        tokens, reasoning, end, stopped_by = cap, min(reasoning, cap), End.LENGTH, None
        pieces = pieces[: cap - reasoning]
    return Reply(pieces, end, tokens, reasoning, stopped_by)


def count_usage(
    behavior: Behavior, replies: Sequence[Reply], count_prompt: Callable[[], int]
) -> TokenCounts:
    """Return what answering has used; `count_prompt` is asked if the prompt is not scripted."""
    prompt = behavior.prompt_tokens
    if prompt is None:
        prompt = count_prompt()
        behavior.check_prompt(prompt)
    return TokenCounts(
        prompt=prompt if behavior.web_searches else prompt + behavior.tool_prompt_tokens,
        cached=behavior.cached_tokens,
        completion=sum(reply.tokens for reply in replies),
        reasoning=sum(reply.reasoning for reply in replies),
        written_5m=behavior.cache_write_tokens or 0,
        written_1h=behavior.cache_write_1h_tokens,
        searches=behavior.web_searches,
    )


def _pieces(ask: Ask, behavior: Behavior) -> tuple[list[Piece], End, str | None]:
    if behavior.content is not None:
        return _until_stop(behavior.content, ask)
    if tools := _called_tools(ask):
        calls = [_call(tool, number, ask.said) for number, tool in enumerate(tools)]
        return [piece for call in calls for piece in call], End.TOOLS, None
    if (structured := _structured(ask)) is not None:
        return _text(structured), End.DONE, None
    pieces, end, stopped_by = _until_stop(_echo(ask), ask)
    if behavior.completion_tokens is not None:
        wanted = behavior.completion_tokens - behavior.reasoning_tokens
        wanted = wanted if ask.cap is None else min(wanted, ask.cap)
        pieces = pieces[:wanted] + [Piece(_FILLER)] * (wanted - len(pieces))
    return pieces, end, stopped_by


def _called_tools(ask: Ask) -> list[Tool]:
    """Return the tools that the answer calls: with `AUTO` those that the user mentions."""
    if ask.forced is not None:
        return [tool for tool in ask.tools if tool.name == ask.forced]
    if ask.calling is Calling.NONE:
        return []
    said = ask.said if ask.is_users_turn else ""
    mentioned = [tool for tool in ask.tools if mentions(said, tool.name)]
    if not mentioned and ask.calling is Calling.REQUIRED:
        mentioned = list(ask.tools[:1])
    return mentioned if ask.parallel else mentioned[:1]


def _call(tool: Tool, number: int, said: str) -> list[Piece]:
    arguments = arguments_for(tool.parameters or _ANY_OBJECT, said)
    pieces = [
        Piece(text, number) for text in split_answer(json.dumps(arguments, ensure_ascii=False))
    ]
    return [Piece("", number, tool.name), *pieces]


def _structured(ask: Ask) -> str | None:
    if ask.schema is not None:
        return json.dumps(instance_of(ask.schema or _ANY_OBJECT), ensure_ascii=False)
    if ask.json_object:
        return json_object_for(ask.said, _echo(ask))
    return None


def _echo(ask: Ask) -> str:
    return f"You said: {ask.said[-_ECHOED_CHARACTERS:]}"


def _until_stop(text: str, ask: Ask) -> tuple[list[Piece], End, str | None]:
    found = [(text.index(stop), stop) for stop in ask.stops if stop in text]
    if not found:
        return _text(text), End.DONE, None
    at, stopped_by = min(found)
    return _text(text[:at]), End.STOP_SEQUENCE, stopped_by


def _text(text: str) -> list[Piece]:
    return [Piece(token) for token in split_answer(text)]
