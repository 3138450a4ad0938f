"""Rows of CSV and JSONL files to recorded calls, and entries to rows; line by line."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import STANDARD_LABELS, Labels, make_labels
from llmcost_plugins.ledger import Call, Entry
from llmcost_plugins.ledger.rows import outcome_from_json, outcome_to_json
from llmcost_plugins.money import usd_string
from llmcost_plugins.usage import METERS, Trust, Usage, is_meter

NEEDED: Final = ("request_id", "at", "model")
_FACTS: Final = (*NEEDED, "provider", "service_tier", "region", "stated_cost", "trust", "tags")
_LABEL: Final = "label."
_EXPORTED: Final = (
    *("request_id", "at", "model", "requested", "provider", "run", "labels", "tags"),
    *("status", "cost_usd", "count", "outcome"),
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        number: which one, from 1.
        text: as it stands there, for the file of rejected lines.
        row: its values by column; `None` where it cannot be read.
        reason: why not.
    """

    number: int
    text: str
    row: Row | None
    reason: str = ""


def read_lines(stream: BinaryIO, path: Path, told: Callable[[int], None]) -> Iterator[Line]:
    """Yield the lines of a CSV or JSONL file, those that cannot be read with the reason.

    Args:
        stream: the open file.
        path: its name, which tells the format.
        told: is called with the number of bytes of each line.

    Raises:
        ConfigurationError: the name tells no format, or the header of a CSV file cannot be used.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".ndjson": _read_jsonl}
    read = readers.get(path.suffix.lower())
    if read is None:
        msg = f"{path.name!r} is of no known format; a good name ends in '.csv' or '.jsonl'"
        raise ConfigurationError(msg)
    for line in read(_texts(stream, told)):
        if line.text.isascii() or not any("\udc80" <= c <= "\udcff" for c in line.text):
            yield line
        else:
            shown = line.text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            yield Line(line.number, shown, None, "it is not UTF-8")


def usage_of(row: Row) -> Usage:
    """Return the usage that a row states.

    Raises:
        ValueError: a count is no whole number, is negative or absurd.
    """
    counts = {
        name: _count(name, value) for name, value in row.items() if is_meter(name) and _said(value)
    }
    if not any(counts.values()):
        msg = f"it counts nothing; a good column is one of {', '.join(METERS)}"
        raise ValueError(msg)
    stated = row.get("stated_cost")
    return Usage(
        **{name: count for name, count in counts.items() if name in METERS},  # type: ignore[arg-type]  # counts only
        other={name: count for name, count in counts.items() if name not in METERS},
        service_tier=row.get("service_tier") or None,
        region=row.get("region") or None,
        stated_cost=Decimal(str(stated)) if _said(stated) else None,
        trust=Trust(row.get("trust") or Trust.PROVIDER),
    )


def labels_of(row: Row) -> Labels:
    """Return the labels and tags of a row.

    Raises:
        ConfigurationError: one cannot be used.
    """
    values = {
        name.removeprefix(_LABEL): value
        for name, value in row.items()
        if (name in STANDARD_LABELS or name.startswith(_LABEL)) and _said(value)
    }
    tags = row.get("tags") or ()
    return make_labels(values, tags.split() if isinstance(tags, str) else tags)


def instant_of(row: Row) -> datetime:
    """Return when the call was made.

    Raises:
        ValueError: it is no time with a zone.
    """
    at = datetime.fromisoformat(str(row["at"]))
    if at.tzinfo is None:
        msg = f"at={row['at']!r} has no time zone; a good value is '2026-01-31T12:00:00Z'"
        raise ValueError(msg)
    return at.astimezone(UTC)


def check_row(row: Row) -> None:
    """Raise `ConfigurationError` where a row has an unknown column, or lacks one."""
    check_columns(row)
    for name in NEEDED:
        if not isinstance(row.get(name), str) or not row[name].strip():
            msg = f"{name!r} is empty; it must say what was called, when, and as which request"
            raise ConfigurationError(msg)


def check_columns(names: Iterable[str]) -> None:
    """Raise `ConfigurationError` where a column means nothing, or a needed one is missing."""
    known = list(names)
    usual = {*_FACTS, *STANDARD_LABELS}
    if "outcome" in known:
        usual = set(_EXPORTED)
    for name in known:
        if name not in usual and not (name.startswith(_LABEL) or is_meter(name)):
            msg = (
                f"unknown column {name!r}; a good one is one of {', '.join(sorted(usual))}, "
                f"a meter such as 'input' or 'output', or a label such as 'label.region'"
            )
            raise ConfigurationError(msg)
    if missing := [name for name in NEEDED if name not in known]:
        msg = f"the column {missing[0]!r} is missing; every call needs {', '.join(NEEDED)}"
        raise ConfigurationError(msg)


def exported(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain values, from which `entry_of` makes the same one."""
    call, outcome = entry.call, entry.outcome
    return {
        "request_id": call.id,
        "at": call.at.isoformat(),
        "model": call.model,
        "requested": call.requested,
        "provider": call.provider,
        "run": call.run,
        "labels": dict(call.labels.values),
        "tags": list(call.labels.tags),
        "status": outcome.status.value,
        "cost_usd": usd_string(outcome.cost),
        "count": entry.count,
        "outcome": outcome_to_json(outcome),
    }


def entry_of(row: Row) -> Entry:
    """Return the entry that `exported` has written.

    Raises:
        ValueError, KeyError, TypeError: it has been changed.
    """
    parts = {n: json.loads(row[n]) if isinstance(row[n], str) else row[n] for n in _NESTED}
    labels = make_labels(parts["labels"], parts["tags"])
    outcome = outcome_from_json(parts["outcome"])
    call = Call(
        row["request_id"], instant_of(row), row["model"], row["requested"], row["provider"],
        labels, row["run"],
    )  # fmt: skip
    return Entry(call, outcome)


_NESTED: Final = ("labels", "tags", "outcome")


def csv_row(record: Row) -> dict[str, Any]:
    """Return an exported entry as cells of text."""
    return {n: json.dumps(v) if n in _NESTED else v for n, v in record.items()}


def _texts(stream: BinaryIO, told: Callable[[int], None]) -> Iterator[str]:
    for number, raw in enumerate(stream):
        told(len(raw))
        text = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
        yield text.decode("utf-8", "surrogateescape")


def _read_jsonl(texts: Iterator[str]) -> Iterator[Line]:
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield Line(number, text.rstrip("\r\n"), None, f"it is no JSON: {error}")
            continue
        good = row if isinstance(row, dict) else None
        yield Line(number, text.rstrip("\r\n"), good, "" if good else "it is no JSON object")


def _read_csv(texts: Iterator[str]) -> Iterator[Line]:
    taken: list[str] = []  # what the reader has taken for its next row, for the rejected lines

    def noted() -> Iterator[str]:
        for text in texts:
            taken.append(text)
            yield text

    reader = csv.reader(noted(), strict=True)
    try:
        header = next(reader, [])
    except csv.Error as error:
        msg = f"the header cannot be read: {error}"
        raise ConfigurationError(msg) from None
    check_columns(header)
    while True:
        taken.clear()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Line(
                reader.line_num, "".join(taken).rstrip("\r\n"), None, f"it is no CSV: {error}"
            )
            continue
        if cells is None:
            return
        text = "".join(taken).rstrip("\r\n")
        if len(cells) != len(header):
            if cells:
                why = f"it has {len(cells)} columns, the header {len(header)}"
                yield Line(reader.line_num, text, None, why)
            continue
        yield Line(reader.line_num, text, dict(zip(header, cells, strict=True)))


def _said(value: object) -> bool:
    return value is not None and value != ""


def _count(name: str, value: object) -> int:
    if isinstance(value, str):
        value = int(value) if value.strip().lstrip("-").isdecimal() else value
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name}={value!r} is no whole number"
        raise ValueError(msg)  # noqa: TRY004 - what stands in a file is a value
    return value
