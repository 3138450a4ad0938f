"""Calls that send texts and get numbers back: embeddings and reranks.

A request may carry many texts, each of which may be as long as the model takes. There is no answer
to pay for, so what a call can cost is known before it is made, up to the size of its texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeGuard

from llmcost_plugins import reported
from llmcost_plugins.calls import OpenCall
from llmcost_plugins.failures import ended_by_caller, may_be_billed
from llmcost_plugins.ledger import Outcome
from llmcost_plugins.pricing import CallSize, Prices
from llmcost_plugins.pricing.sizes import PromptSizer, json_bound, text_bound
from llmcost_plugins.pricing.tokenizers import local_tokenizer, own_encoding
from llmcost_plugins.usage import Trust, Usage

TEXT_OVERHEAD: Final = 16
"""Tokens that a provider may add to each text: its special tokens, or a few words that say what the
text is for. OpenAI adds none."""
DOCUMENTS_PER_UNIT: Final = 100
"""Cohere, Bedrock and Vertex AI bill a query with up to so many documents as one unit."""
TOKENS_PER_DOCUMENT: Final = 500
"""Cohere counts a longer document, the query included, as several."""
_LEAST_ROOM: Final = 50
"""What a query is taken to leave of that in any case; Cohere does not say what a long one does."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What a request sends.

    Attributes:
        items: the texts, or documents: strings, lists of token ids, or what counts as JSON.
        query: what a reranker compares them with; `None` for an embedding.
        longest: the tokens that a reranker cuts each document to, where the request says so.
    """

    items: Sequence[object]
    query: str | None = None
    longest: int | None = None

    def size(self, sizer: PromptSizer) -> CallSize:
        """Return how large the call can become; a reranker reads its query with each document."""
        for item in self.items:
            sizer.tokens(TEXT_OVERHEAD)
            if self.query is not None:
                sizer.text(self.query)
            if isinstance(item, str):
                sizer.text(item)
            elif _are_token_ids(item):
                sizer.tokens(len(item))
            else:
                sizer.json(item)
        queries = 0 if self.query is None else self._units(self.query)
        return replace(sizer.size(0), queries=queries, many=True)

    def counted(self, model: str) -> int | None:
        """Count the tokens with the model's own tokenizer; `None` where it is not at hand."""
        encoding = own_encoding(model) if self.query is None else None
        tokenizer = local_tokenizer(encoding) if encoding else None
        if tokenizer is None:
            return None
        count = 0
        for item in self.items:
            if isinstance(item, str):
                count += tokenizer.count(item.encode("utf-8", "replace").decode())
            elif _are_token_ids(item):
                count += len(item)
            else:
                return None
        return count

    def _units(self, query: str) -> int:
        room = max(TOKENS_PER_DOCUMENT - text_bound(query), _LEAST_ROOM)
        parts = sum(-(-self._bound(item) // room) or 1 for item in self.items)
        return -(-parts // DOCUMENTS_PER_UNIT)

    def _bound(self, item: object) -> int:
        bound = text_bound(item) if isinstance(item, str) else json_bound(item)
        return bound if self.longest is None else min(bound, self.longest)


def settle(opened: OpenCall, answer: object, texts: Texts) -> Outcome | None:
    """End a call whose answer has arrived. Never raises.

    Without a report of its usage it is estimated: by the model's own tokenizer where that is at
    hand, else at what was held for.

    Args:
        opened: the call.
        answer: what the provider's client has returned; `None` when nobody has seen it.
        texts: what was sent.
    """
    served = None
    try:
        parsed = _parsed(answer)
        served = reported.read_served_model(parsed)
        usage = reported.read_usage(parsed, provider=opened.spec.provider)
        if usage is None:
            usage = _estimated(opened, texts)
        elif not _says_what_is_billed(usage, opened.prices):
            usage = _completed(usage, opened)
    except Exception:  # noqa: BLE001 - an unforeseen shape must not cost the answer
        opened.note_failure("the usage")
        usage = _held(opened)
    return opened.finish(usage, served)


def settle_failure(
    opened: OpenCall, error: BaseException, *, several: bool = False
) -> Outcome | None:
    """End a call that failed or was broken off. Never raises.

    One that an HTTP status refuses is not billed, one whose answer was lost may be.

    Args:
        opened: the call.
        error: what ended it.
        several: whether it may have been several requests, of which some were answered, and so
            billed, before one failed. It then counts as billed whole.
    """
    if ended_by_caller(error):
        detail = f"the caller ended it: {type(error).__name__}"
        return opened.abort(streamed_bytes=0, usage=_held(opened), detail=detail)
    billed = several or may_be_billed(error)
    return opened.fail(error, billed=_held(opened) if billed else None)


def _are_token_ids(item: object) -> TypeGuard[Sequence[int]]:
    # Only the first is looked at, since a request may have hundreds of thousands.
    return isinstance(item, list | tuple) and bool(item) and isinstance(item[0], int)


def _parsed(answer: object) -> object:
    """Return the answer in a response that a client hands out unparsed (``with_raw_response``)."""
    parse = getattr(answer, "parse", None)
    return parse() if callable(parse) and hasattr(answer, "headers") else answer


def _has_units(prices: Prices | None) -> bool:
    return prices is not None and prices.table(0).get_or_zero("query") > 0


def _says_what_is_billed(usage: Usage, prices: Prices | None) -> bool:
    """Tell whether a report counts what the model's price is stated for."""
    if usage.stated_cost is not None:
        return True
    if _has_units(prices):
        return "query" in usage.other
    return usage.prompt_tokens > 0 or any(meter != "query" for meter in usage.other)


def _completed(usage: Usage, opened: OpenCall) -> Usage:
    """Add what a report leaves out, so that the call does not seem to be free."""
    held = _held(opened)
    if opened.prices is not None:
        return held  # what is reported has no price
    return replace(usage, input=held.input, trust=held.trust)


def _estimated(opened: OpenCall, texts: Texts) -> Usage:
    held = _held(opened)
    count = texts.counted(opened.spec.model) if held.input else None
    return held if count is None else replace(held, input=min(count, held.input))


def _held(opened: OpenCall) -> Usage:
    """Return the usage that the call is held for, in what its price is stated for."""
    if _has_units(opened.prices):
        return Usage(other={"query": opened.spec.size.queries}, trust=Trust.ESTIMATED)
    return Usage(input=opened.estimate.prompt, trust=Trust.ESTIMATED)
