"""Structured output through a router: each model asks for it, and reads it, in its own way."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, Final, NamedTuple, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import (
    Runnable,
    RunnableBinding,
    RunnableConfig,
    RunnableMap,
    RunnablePassthrough,
    RunnableSequence,
)

from llmcost_langchain._notes import candidate_of
from llmcost_plugins.errors import ConfigurationError

STRUCTURE: Final = "llmcost_structure"
"""The keyword under which a router gets the structure to ask its models for."""


class _Form(NamedTuple):
    """How one model is asked for a structure, and how its answer is read."""

    kwargs: Mapping[str, Any]
    parser: Runnable[Any, Any]


class Structure:
    """What `with_structured_output` was asked for, in the form of each model.

    Args:
        models: the models of the router.
        schema: the schema.
        options: the other arguments.
    """

    def __init__(
        self, models: Sequence[BaseChatModel], schema: Any, options: Mapping[str, Any]
    ) -> None:
        self._models = models
        self._schema = schema
        self._options = options
        self._forms: dict[int, _Form] = {}

    def of(self, index: int) -> _Form:
        """Return the form of one model.

        Raises:
            ConfigurationError: the model's package builds its structured output in an unusual way.
        """
        form = self._forms.get(index)
        if form is None:
            made = self._models[index].with_structured_output(self._schema, **self._options)
            form = self._forms[index] = _taken_apart(made, self._models[index])
        return form


def _taken_apart(made: Runnable[Any, Any], model: BaseChatModel) -> _Form:
    """Split ``model.bind(...) | parser``, which LangChain's packages return."""
    if isinstance(made, RunnableSequence) and isinstance(made.first, RunnableBinding):
        rest = made.steps[1:]
        parser = rest[0] if len(rest) == 1 else RunnableSequence(*rest)
        return _Form(made.first.kwargs, parser)
    msg = (
        f"{type(model).__name__}.with_structured_output() does not return a bound model and a "
        "parser, so that a router cannot ask it; use bind_tools(), or put the router first"
    )
    raise ConfigurationError(msg)


class _Reader(Runnable[AIMessage, Any]):
    """Reads an answer with the parser of the model that gave it."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure

    def _parser(self, message: object) -> Runnable[Any, Any]:
        return self._structure.of(candidate_of(message)).parser

    def invoke(self, input: AIMessage, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002 - LangChain's name
        return self._parser(input).invoke(input, config)

    async def ainvoke(
        self,
        input: AIMessage,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> Any:
        return await self._parser(input).ainvoke(input, config)

    def transform(
        self,
        input: Iterator[AIMessage],  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> Iterator[Any]:
        first = next(input, None)
        if first is not None:
            yield from self._parser(first).transform(chain([first], input), config)

    async def atransform(
        self,
        input: AsyncIterator[AIMessage],  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> AsyncIterator[Any]:
        first = await anext(input, None)
        if first is None:
            return

        async def all_of_it() -> AsyncIterator[AIMessage]:
            yield first
            async for chunk in input:
                yield chunk

        async for part in self._parser(first).atransform(all_of_it(), config):
            yield part


def structured(
    router: BaseChatModel,
    models: Sequence[BaseChatModel],
    schema: Any,
    options: Mapping[str, Any],
    *,
    include_raw: bool,
) -> Runnable[Any, Any]:
    """Return what a router's `with_structured_output` returns, see `BaseChatModel`."""
    structure = Structure(models, schema, options)
    structure.of(0)  # a schema that cannot be used is refused here, not at the first call
    bound = router.bind(**{STRUCTURE: structure})
    reader = _Reader(structure)
    if not include_raw:
        return bound | reader
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | reader, parsing_error=lambda _: None
    )
    unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
    read = parsed.with_fallbacks([unparsed], exception_key="parsing_error")
    return cast("Runnable[Any, Any]", RunnableMap(raw=bound) | read)
