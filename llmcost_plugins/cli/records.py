"""``llmcost ledger import`` and ``llmcost export``: calls in and out of files."""

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import click

from llmcost_plugins.cli.options import instant, say_if_empty
from llmcost_plugins.cli.record_rows import (
    Line,
    check_row,
    csv_row,
    entry_of,
    exported,
    instant_of,
    labels_of,
    read_lines,
    usage_of,
)
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger import Entry, Status, open_ledger
from llmcost_plugins.settings import Settings
from llmcost_plugins.tracker import CostTracker

_FINDING: Final = 1


@click.command(name="import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Read and check; write nothing into the ledger.")
@click.option(
    "--rejected",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write lines that cannot be used; FILE.rejected.jsonl by default.",
)
def import_command(path: Path, rejected: Path | None, *, dry_run: bool) -> int:
    """Record the calls of a CSV or JSONL file, each request once.

    Of an export, refusals are left out: they cost nothing, and belong to budgets of elsewhere. The
    exit status is 1 if a line was rejected; the others are recorded.
    """
    tracker = CostTracker.from_settings(Settings.from_env())
    kept = rejected or path.with_name(f"{path.name}.rejected.jsonl")
    count: Counter[str] = Counter()
    bad = None
    try:
        with (
            path.open("rb") as stream,
            click.progressbar(length=path.stat().st_size, file=sys.stderr) as bar,
        ):
            for line in read_lines(stream, path, bar.update):
                reason = line.reason or _take(tracker, line, count, dry_run=dry_run)
                if reason:
                    count["rejected"] += 1
                    bad = bad or kept.open("w", encoding="utf-8")
                    facts = {"line": line.number, "reason": reason, "text": line.text}
                    bad.write(f"{json.dumps(facts, ensure_ascii=False)}\n")
    except OSError as error:
        msg = f"{str(error.filename or path)!r} cannot be used: {error.strerror}"
        raise ConfigurationError(msg) from error
    finally:
        if bad:
            bad.close()
        tracker.close()
    done = "would be read" if dry_run else "recorded"
    where = f" (reasons in {kept})" if bad else ""
    known = f"{count['known']} known already, " if not dry_run else ""
    click.echo(f"{count['new']} calls {done}, {known}{count['rejected']} rejected{where}", err=True)
    if count["left"]:
        what = "refusals, and corrections of calls that are not here as they were there"
        click.echo(f"{count['left']} entries left out: {what}", err=True)
    return _FINDING if bad else 0


def _take(tracker: CostTracker, line: Line, count: "Counter[str]", *, dry_run: bool) -> str:
    """Record the call of a line; return why not if it cannot be used."""
    row = line.row or {}
    try:
        check_row(row)
        if "outcome" in row:
            entry = entry_of(row)
            new = _restored(tracker, entry, dry_run=dry_run)
        else:
            usage, labels, at = usage_of(row), labels_of(row), instant_of(row)
            new = dry_run or bool(
                tracker.record_usage(
                    row["model"],
                    usage,
                    provider=row.get("provider") or None,
                    request_id=row["request_id"],
                    at=at,
                    tags=labels.tags,
                    **labels.values,
                )
            )
    except (ConfigurationError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        return str(error) or type(error).__name__
    count["left" if new is None else "new" if new else "known"] += 1
    return ""


def _restored(tracker: CostTracker, entry: Entry, *, dry_run: bool) -> bool | None:
    if dry_run:
        return None if entry.outcome.status is Status.REFUSED else True
    return tracker.record_entry(entry)


@click.command(name="export")
@click.option("--since", metavar="DATE", help="Calls from this day (or time) on.")
@click.option("--until", metavar="DATE", help="Calls up to before this day (or time).")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True
)
def export_command(since: str | None, until: str | None, form: str) -> None:
    """Write every entry to standard output, as `llmcost ledger import` reads it."""
    settings = Settings.from_env()
    start, end = instant(since, "--since", settings), instant(until, "--until", settings)
    writer = None
    with open_ledger(settings.ledger, settings.timezone) as store:
        say_if_empty(store, settings)
        for entry in store.entries(since=start, until=end) if store.exists() else ():
            record = exported(entry)
            if form == "jsonl":
                sys.stdout.write(f"{json.dumps(record)}\n")
                continue
            if writer is None:
                writer = csv.DictWriter(sys.stdout, list(record), lineterminator="\n")
                writer.writeheader()
            writer.writerow(csv_row(record))
