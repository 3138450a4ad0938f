"""What a caller asks of the router, and how each of its models is asked the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import (
    LLMChatStartEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.llms.llm import LLM
from llama_index.core.program.function_program import FunctionCallingProgram, get_function_tool
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate

from llmcost_llamaindex._events import StartEvent
from llmcost_llamaindex._families import (
    ANTHROPIC,
    OPENAI,
    capped,
    family_of,
    makes_own_request,
    reporting_usage,
)
from llmcost_llamaindex._notes import NOTE_KEY
from llmcost_llamaindex._portable import portable
from llmcost_plugins.errors import ModelUnsuitable

_FORMAT: Final = "Here's a JSON schema to follow. Output a valid JSON object, do not repeat it." * 2
"""About what LlamaIndex adds to a prompt for models that call no tools."""

_PROGRAM: Final = {
    "": "__call__",
    "a": "acall",
    "stream_": "stream_call",
    "astream_": "astream_call",
}
"""What LlamaIndex calls the methods of its programs, by the prefix of a model's."""


@dataclass(frozen=True, slots=True)
class Form:
    """How an answer is to come: the prefix of LlamaIndex's method names, such as ``astream_``."""

    prefix: str

    @property
    def streamed(self) -> bool:
        """Whether it comes in chunks."""
        return "stream" in self.prefix


SYNC: Final = Form("")
ASYNC: Final = Form("a")
STREAM: Final = Form("stream_")
ASTREAM: Final = Form("astream_")


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request to one model.

    Attributes:
        llm: the model.
        method: the name of the method to call.
        args: its positional arguments.
        kwargs: those by name, as the caller gave them.
        event: what is about to be sent, in the form in which LlamaIndex tells it.
        asked: whose method it is, where it is not the model's.
        listens: whether what it returns does not show the provider's answer.
        options: the name of the argument that holds the parameters for the provider; empty where
            they are arguments themselves.
    """

    llm: LLM
    method: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    event: StartEvent
    asked: Any = None
    listens: bool = False
    options: str = ""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters for the provider."""
        return dict((self.kwargs.get(self.options) or {}) if self.options else self.kwargs)

    def with_params(self, params: Mapping[str, Any]) -> "dict[str, Any]":
        """Return the arguments by name with other parameters for the provider."""
        return {**self.kwargs, self.options: dict(params)} if self.options else dict(params)

    def capped(self, kwargs: Mapping[str, Any], tokens: int) -> dict[str, Any] | None:
        """Return arguments by name that cap the answer; `None` if the class takes no cap."""
        params = (kwargs.get(self.options) or {}) if self.options else kwargs
        done = capped(self.llm, params, tokens)
        return None if done is None else self.with_params(done)

    def call(self, kwargs: Mapping[str, Any]) -> Any:
        """Ask the model."""
        return getattr(self.asked or self.llm, self.method)(*self.args, **kwargs)


class Ask(Protocol):
    """What a caller asks for."""

    needs_tools: ClassVar[bool]
    needs_structure: ClassVar[bool]

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """Return the request to one model.

        Args:
            llm: the model.
            form: how the answer is to come.
            reports_usage: whether to ask a stream for its usage.

        Raises:
            ModelUnsuitable: the model has no method for it.
        """
        ...


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """``chat``."""

    needs_tools: ClassVar[bool] = False
    needs_structure: ClassVar[bool] = False

    messages: Sequence[ChatMessage]
    kwargs: Mapping[str, Any]

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """See `Ask.prepare`."""
        kwargs = _params(llm, self.kwargs, form, reports_usage=reports_usage)
        messages = sendable(self.messages, llm)
        return Prepared(
            llm, f"{form.prefix}chat", (messages,), kwargs, chat_event(llm, messages, kwargs)
        )


@dataclass(frozen=True, slots=True)
class CompleteAsk:
    """``complete``."""

    needs_tools: ClassVar[bool] = False
    needs_structure: ClassVar[bool] = False

    prompt: str
    formatted: bool
    kwargs: Mapping[str, Any]

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """See `Ask.prepare`."""
        kwargs = _params(llm, self.kwargs, form, reports_usage=reports_usage)
        event = LLMCompletionStartEvent(
            prompt=self.prompt, additional_kwargs=kwargs, model_dict=llm.to_payload()
        )
        args = (self.prompt, self.formatted)
        return Prepared(llm, f"{form.prefix}complete", args, kwargs, event)


@dataclass(frozen=True, slots=True)
class ToolsAsk:
    """``chat_with_tools``."""

    needs_tools: ClassVar[bool] = True
    needs_structure: ClassVar[bool] = False

    tools: Sequence[Any]
    user_msg: str | ChatMessage | None
    chat_history: Sequence[ChatMessage] | None
    kwargs: Mapping[str, Any]

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """See `Ask.prepare`."""
        method = f"{form.prefix}chat_with_tools"
        if not hasattr(llm, method):
            msg = f"{type(llm).__name__} calls no tools"
            raise ModelUnsuitable(msg)
        kwargs = _params(llm, self.kwargs, form, reports_usage=reports_usage)
        history = sendable(self.chat_history or (), llm)
        user_msg = self.user_msg
        if isinstance(user_msg, ChatMessage):
            (user_msg,) = sendable([user_msg], llm)
        # Lists of their own: packages append the message to the history that they are given.
        asked = {"user_msg": user_msg, "chat_history": list(history), **kwargs}
        event = tools_event(llm, self.tools, {**asked, "chat_history": list(history)})
        return Prepared(llm, method, (list(self.tools),), asked, event)


@dataclass(frozen=True, slots=True)
class PromptAsk:
    """``predict``: a prompt in the model's own form, with its own system prompt."""

    needs_tools: ClassVar[bool] = False
    needs_structure: ClassVar[bool] = False

    prompt: BasePromptTemplate
    prompt_args: Mapping[str, Any]

    def written_for(self, llm: LLM) -> "ChatAsk | CompleteAsk":
        """Return what the prompt becomes for a model."""
        # LlamaIndex's own hooks, called as its `LLM.predict` calls them.
        if llm.metadata.is_chat_model:
            messages = llm._get_messages(self.prompt, **self.prompt_args)  # noqa: SLF001 - see above
            return ChatAsk(messages, {})
        text = llm._get_prompt(self.prompt, **self.prompt_args)  # noqa: SLF001 - see above
        return CompleteAsk(text, True, {})

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """See `Ask.prepare`."""
        asked = self.written_for(llm)
        return asked.prepare(llm, form, reports_usage=reports_usage)


@dataclass(frozen=True, slots=True)
class StructureAsk:
    """``structured_predict``."""

    needs_tools: ClassVar[bool] = False
    needs_structure: ClassVar[bool] = True

    output_cls: Any
    prompt: PromptTemplate
    llm_kwargs: Mapping[str, Any]
    prompt_args: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, llm: LLM, form: Form, *, reports_usage: bool) -> Prepared:
        """See `Ask.prepare`."""
        params = _params(llm, self.llm_kwargs, form, reports_usage=reports_usage)
        # A copy: LlamaIndex puts an output parser into the template that it is given.
        prompt = self.prompt.model_copy()
        args: tuple[Any, ...] = (self.output_cls, prompt)
        kwargs = {"llm_kwargs": params, **self.prompt_args}
        messages = llm._extend_messages(  # noqa: SLF001 - as LlamaIndex's own method does
            prompt.format_messages(**self.prompt_args)
        )
        event = structure_event(llm, self.output_cls, messages, params)
        asked: Any = llm
        method = f"{form.prefix}structured_predict"
        if makes_own_request(llm) and llm.metadata.is_function_calling_model:
            asked, method = _by_tools(llm, self.output_cls, prompt), _PROGRAM[form.prefix]
            args = ()
        return Prepared(
            llm, method, args, kwargs, event, asked=asked, listens=True, options="llm_kwargs"
        )


def sendable(messages: Sequence[ChatMessage], llm: LLM) -> list[ChatMessage]:
    """Return copies of messages that this model's class can send, without a note of ours."""
    return [_unnoted(message) for message in portable(messages, family_of(llm))]


def _unnoted(message: ChatMessage) -> ChatMessage:
    """Return a message without what the router says of answers.

    A user may have copied it there; most classes would send it.
    """
    beside = {key: v for key, v in message.additional_kwargs.items() if key != NOTE_KEY}
    return message.model_copy(update={"additional_kwargs": beside})


def chat_event(
    llm: LLM, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]
) -> LLMChatStartEvent:
    """Return what LlamaIndex will tell of a chat."""
    return LLMChatStartEvent(
        messages=list(messages), additional_kwargs=dict(kwargs), model_dict=llm.to_payload()
    )


def tools_event(llm: LLM, tools: Sequence[Any], asked: Mapping[str, Any]) -> LLMChatStartEvent:
    """Return what LlamaIndex will tell of a chat with tools."""
    prepare: Callable[..., dict[str, Any]] | None = getattr(
        llm, "_prepare_chat_with_tools_compat", None
    )
    if prepare is not None:
        sent = dict(prepare(list(tools), **asked))
        return chat_event(llm, sent.pop("messages"), sent)
    user_msg, history = asked["user_msg"], asked["chat_history"]
    messages = [*history, *([ChatMessage.from_str(str(user_msg))] if user_msg else [])]
    described = [tool.metadata.to_openai_tool() for tool in tools]
    return chat_event(llm, messages, {"tools": described})


def structure_event(
    llm: LLM, output_cls: Any, messages: Sequence[ChatMessage], params: Mapping[str, Any]
) -> LLMChatStartEvent:
    """Return what LlamaIndex will tell of a request for a structure."""
    by_schema = getattr(llm, "_should_use_structure_outputs", None)
    if family_of(llm) == OPENAI and by_schema is not None and by_schema():
        schema: Callable[..., dict[str, Any]] = llm._prepare_schema  # type: ignore[attr-defined] # noqa: SLF001 - OpenAI's
        return chat_event(llm, messages, schema(dict(params), output_cls))
    if llm.metadata.is_function_calling_model:
        asked = {"user_msg": None, "chat_history": list(messages), **params}
        return tools_event(llm, [get_function_tool(output_cls)], asked)
    schema_text = output_cls.model_json_schema()
    return chat_event(llm, messages, {**params, "response_format": [schema_text, _FORMAT]})


def _by_tools(llm: LLM, output_cls: Any, prompt: PromptTemplate) -> Any:
    """Return what asks a model for a structure as the arguments of a tool that it has to call.

    LlamaIndex's own way to make one leaves the choice open with Anthropic's class.
    """
    return FunctionCallingProgram.from_defaults(
        output_cls=output_cls,
        prompt=prompt,
        llm=llm,
        tool_required=True,
        tool_choice={"type": "any"} if family_of(llm) == ANTHROPIC else None,
    )


def text_of(answer: Any) -> str:
    """Return the text of an answer."""
    if isinstance(answer, ChatResponse):
        return answer.message.content or ""
    return str(answer.text)


def _params(
    llm: LLM, kwargs: Mapping[str, Any], form: Form, *, reports_usage: bool
) -> dict[str, Any]:
    if form.streamed and reports_usage:
        return reporting_usage(llm, kwargs)
    return dict(kwargs)
