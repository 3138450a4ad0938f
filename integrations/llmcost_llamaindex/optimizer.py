"""`TokenOptimizer`: shortens chat messages on their way to a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)

from llmcost_plugins.optimize import Saving, Tally
from llmcost_plugins.optimize import TokenOptimizer as CoreOptimizer
from llmcost_plugins.optimize.shapes import as_json
from llmcost_plugins.optimize.turns import Role, Turn

_ROLES: Final[Mapping[MessageRole, Role]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
_MEDIA: Final = (ImageBlock, AudioBlock, VideoBlock, DocumentBlock)


class TokenOptimizer:
    """Shortens what goes to a model: ``llm.chat(optimizer(messages))``.

    Takes and gives chat messages; those that are unchanged are the same objects. See
    `llmcost_plugins.optimize.TokenOptimizer` for what it does and its *options*.

    Attributes:
        tally: what all prompts so far have saved.

    Args:
        model: the model, for its tokenizer and its price.
        on_saving: is told what each prompt has saved.
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

    def __call__(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """Return the messages for the model."""
        plan = self._core.plan([_turn(message) for message in messages])
        self.tally.add(plan.saving)
        if self._on_saving is not None:
            self._on_saving(plan.saving)
        return [
            _written(messages[place], turn)
            for place, turn in zip(plan.kept, plan.turns, strict=True)
        ]


def _turn(message: ChatMessage) -> Turn:
    role = _ROLES.get(message.role, "assistant")
    if role == "assistant":
        said = [as_json(block) for block in message.blocks]
        if message.additional_kwargs:
            said.append(as_json(message.additional_kwargs))
        return Turn(role, rest=tuple(said), calls=tuple(dict.fromkeys(_calls(message))))
    texts = tuple(block.text for block in message.blocks if isinstance(block, TextBlock))
    media = sum(isinstance(block, _MEDIA) for block in message.blocks)
    others = [b for b in message.blocks if not isinstance(b, (TextBlock, *_MEDIA))]
    answered = message.additional_kwargs.get("tool_call_id")
    return Turn(
        role,
        texts,
        tuple(as_json(block) for block in others),
        media,
        answers=(str(answered),) if answered else (),
    )


def _calls(message: ChatMessage) -> list[str]:
    """Return the ids of tool calls: of blocks, and of what packages keep beside them."""
    ids: list[Any] = [getattr(block, "tool_call_id", None) for block in message.blocks]
    beside = message.additional_kwargs.get("tool_calls")
    ids += [
        call.get("id") if isinstance(call, Mapping) else getattr(call, "id", None)
        for call in (beside if isinstance(beside, list) else ())
    ]
    return [str(one) for one in ids if one]


def _written(message: ChatMessage, turn: Turn) -> ChatMessage:
    texts = iter(turn.texts if turn.role != "assistant" else ())
    blocks: list[ContentBlock] = []
    for block in message.blocks:
        new = next(texts, None) if isinstance(block, TextBlock) else None
        same = new is None or not isinstance(block, TextBlock) or new == block.text
        blocks.append(block if same else block.model_copy(update={"text": new}))
    if all(new is old for new, old in zip(blocks, message.blocks, strict=True)):
        return message
    return message.model_copy(update={"blocks": blocks})
