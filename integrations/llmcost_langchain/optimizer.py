"""`TokenOptimizer`: shortens prompts on their way to a model."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig

from llmcost_plugins.optimize import Saving, Tally
from llmcost_plugins.optimize import TokenOptimizer as CoreOptimizer
from llmcost_plugins.optimize.shapes import (
    as_json,
    block_answers,
    block_calls,
    map_content,
    one_by_one,
    rest_of,
    texts_of,
)
from llmcost_plugins.optimize.turns import Role, Turn

_ROLES: Final[tuple[tuple[type[BaseMessage], Role], ...]] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (ToolMessage, "tool"),
    (FunctionMessage, "tool"),
)
_SAID: Final[dict[str, Role]] = {"system": "system", "developer": "system", "user": "user"}


class TokenOptimizer(Runnable[LanguageModelInput, list[BaseMessage]]):
    """Shortens what goes to a model: ``prompt | TokenOptimizer("gpt-4o") | llm``.

    Takes what a chat model takes, and gives messages; those that are unchanged are the same
    objects. See `llmcost_plugins.optimize.TokenOptimizer` for what it does and its *options*.

    Attributes:
        tally: what all prompts so far have saved.

    Args:
        model: the model, for its tokenizer and its price.
        on_saving: is told what each prompt has saved, in the thread that runs the chain.
        options: see there.

    Raises:
        ConfigurationError: an option cannot be used.
    """

    def __init__(
        self, model: str, *, on_saving: Callable[[Saving], None] | None = None, **options: Any
    ) -> None:
        self._core = CoreOptimizer(model, **options)
        self._on_saving = on_saving
        self.tally = Tally()

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> list[BaseMessage]:
        """Return the messages for the model."""
        return self._call_with_config(self._optimized, input, config)

    def _optimized(self, given: LanguageModelInput) -> list[BaseMessage]:
        messages = _messages(given)
        plan = self._core.plan([_turn(message) for message in messages])
        self.tally.add(plan.saving)
        if self._on_saving is not None:
            self._on_saving(plan.saving)
        return [
            _written(messages[place], turn)
            for place, turn in zip(plan.kept, plan.turns, strict=True)
        ]


def _messages(given: LanguageModelInput) -> Sequence[BaseMessage]:
    if isinstance(given, PromptValue):
        return given.to_messages()
    return [HumanMessage(given)] if isinstance(given, str) else convert_to_messages(given)


def _turn(message: BaseMessage) -> Turn:
    role = _role(message)
    if role == "assistant":
        calls = list(block_calls(message.content))
        if isinstance(message, AIMessage):
            made = (*message.tool_calls, *message.invalid_tool_calls)
            calls += [str(call["id"]) for call in made if call.get("id")]
        legacy = message.additional_kwargs.get("function_call")
        if isinstance(legacy, dict):
            calls.append(f"function {legacy.get('name')}")
        said = [message.content, message.additional_kwargs]
        if isinstance(message, AIMessage):
            said.append([call["args"] for call in message.tool_calls])
        return Turn(role, rest=(as_json(said),), calls=tuple(dict.fromkeys(calls)))
    rest, media = rest_of(message.content)
    answers = tuple(block_answers(message.content))
    if isinstance(message, ToolMessage):
        answers = (message.tool_call_id,)
    elif isinstance(message, FunctionMessage):
        answers = (f"function {message.name}",)
    return Turn(
        "tool" if answers else role, texts_of(message.content), rest, media, answers=answers
    )


def _role(message: BaseMessage) -> Role:
    if isinstance(message, ChatMessage):
        return _SAID.get(message.role, "assistant")
    return next((role for kind, role in _ROLES if isinstance(message, kind)), "assistant")


def _written(message: BaseMessage, turn: Turn) -> BaseMessage:
    if turn.role == "assistant":
        return message
    content = map_content(message.content, one_by_one(turn.texts))
    same = content is message.content or content == message.content
    return message if same else message.model_copy(update={"content": content})
