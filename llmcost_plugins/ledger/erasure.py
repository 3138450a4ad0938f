"""Erasing a person from the ledger: their calls stay in every sum, their name does not."""

import hashlib
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger.base import Status
from llmcost_plugins.ledger.bucket_keys import AFTER_MARK, REPRICED_MARK, match_of, scope_parts
from llmcost_plugins.ledger.database import Database
from llmcost_plugins.ledger.named_sql import Writing
from llmcost_plugins.ledger.rules import dump
from llmcost_plugins.ledger.slots import Days, from_micros, micros

ERASED: Final = "(erased)"
"""What stands in place of the name of a person who was erased."""
BATCH: Final = 200
"""How many entries are changed in one transaction: others wait for some milliseconds."""
_BUDGET_CHANGE: Final = re.compile(r"budget (.+) per (\S+) in (\S+)", re.DOTALL)
# Sums are kept by these, so they must stay as they are.
_SUMMED_BY: Final = frozenset({"team", "feature", "project"})


def check_user(user: str) -> None:
    """Refuse what cannot be the name of a person.

    Raises:
        ConfigurationError: it is empty, or what stands in place of erased names.
    """
    if user in {"", ERASED}:
        msg = f"the user {user!r} cannot be erased; give the value of the label 'user'"
        raise ConfigurationError(msg)


def short_hash(user: str) -> str:
    """Return what the audit notes of an erased person: too short to be told back into a name."""
    return hashlib.sha256(user.encode()).hexdigest()[:6]


class Erasure:
    """One person's erasure. See `Upkeep.erase_user` for what it promises.

    Args:
        user: the value of the label.
        reader: a database that nobody else reads with meanwhile.
        writing: how to write to the ledger.
        sql: the statements of ``upkeep.sql``.
        days: the days of the ledger's time zone.
    """

    def __init__(
        self,
        user: str,
        reader: Database,
        writing: Writing,
        sql: Mapping[str, str],
        days: Days,
    ) -> None:
        self._user = user
        self._reader = reader
        self._writing = writing
        self._sql = sql
        self._days = days
        # An id is searched for the name as a word: "u1" is not in "u12".
        self._named = re.compile(rf"(?<!\w){re.escape(user)}(?!\w)")
        self._lines = sql["lines"].format(slot="day.value", source=sql["with_days"])
        self._sessions: frozenset[str] = frozenset()
        self._in_flight = 0

    def run(self, who: str, at: datetime) -> int:
        """Do it, and note it in the audit; return how many entries were erased."""
        rows = self._read("own_sessions", user=self._user)
        self._sessions = frozenset(session for (session,) in rows)
        erased, done = 0, 0
        while True:
            # First the last entry, then the buckets: what an entry names is there before it.
            ((last,),) = self._read("newest")
            keys = self._bucket_keys(self._read("bucket_keys"))
            while ids := self._about(self._read, done, last, keys):
                with self._secure_writing() as db:
                    began = time.monotonic()
                    erased += self._erase(db, ids, keys)
                done = ids[-1]
                time.sleep(time.monotonic() - began)  # so that others get their turn
            done = last
            with self._secure_writing() as db:
                ((newest,),) = self._rows(db, "newest")
                if newest - done <= BATCH:
                    erased += self._finish(db, done, newest)
                    self._note(db, who, at, erased)
                    return erased

    def _read(self, name: str, **facts: object) -> list[tuple[Any, ...]]:
        return self._reader.read(lambda db: self._rows(db, name, **facts))

    def _rows(self, db: sqlite3.Connection, name: str, **facts: object) -> list[tuple[Any, ...]]:
        return db.execute(self._sql[name], facts).fetchall()

    @contextmanager
    def _secure_writing(self) -> Iterator[sqlite3.Connection]:
        """Write so that SQLite puts zeros where something was deleted."""
        with self._writing() as db:
            (before,) = db.execute("PRAGMA secure_delete").fetchone()
            db.execute("PRAGMA secure_delete = ON")
            try:
                yield db
            finally:
                db.execute(f"PRAGMA secure_delete = {'FAST' if before == 2 else before}")  # noqa: PLR2004 - its number

    def _is_theirs(self, match: Mapping[str, str]) -> bool:
        return (
            match.get("user") == self._user
            or match.get("session") in self._sessions
            or self._named.search(match.get("run", "")) is not None
        )

    def _bucket_keys(self, rows: Sequence[tuple[str]]) -> list[str]:
        return [key for (key,) in rows if self._is_theirs(match_of(key))]

    def _about(
        self,
        read: Callable[..., list[tuple[Any, ...]]],
        after: int,
        last: int,
        keys: Sequence[str],
    ) -> list[int]:
        """Return some entries of the person, or that a bucket of the person counts."""
        facts = {"after": after, "last": last, "user": self._user, "some": BATCH}
        return [id_ for (id_,) in read("about", keys=dump(keys), **facts)]

    def _erase(self, db: sqlite3.Connection, ids: Sequence[int], keys: Sequence[str]) -> int:
        """Change these entries and the sums by person; return how many are of the person."""
        facts = {"ids": dump(ids), "keys": dump(keys)}
        rows = self._rows(db, "to_erase", **facts)
        facts["days"] = dump({id_: self._days.start_of(from_micros(at)) for id_, at, *_ in rows})
        db.execute(self._sql["move_sums"].format(sign="-", lines=self._lines), facts)
        db.execute(self._sql["fill_up"], facts)
        erased, gone = 0, frozenset(keys)
        for id_, _, call_id, status, run, labels, *texts, buckets in rows:
            charges = json.loads(buckets)
            kept = dump({key: charges[key] for key in charges if key not in gone})
            known = json.loads(labels)
            if known.get("user") == self._user:
                erased += 1
                run, labels, texts = self._without_name(run), self._labels(known), ["[]", ""]  # noqa: PLW2901
                if status == Status.REFUSED:  # its id spells out the labels of the call
                    self._rename_call(db, call_id, id_)
                elif self._named.search(call_id):
                    self._rename_call(db, call_id.partition(REPRICED_MARK)[0], id_)
            db.execute(self._sql["erase"], (run, labels, *texts, kept, id_))
        db.execute(self._sql["move_sums"].format(sign="+", lines=self._lines), facts)
        return erased

    def _labels(self, labels: Mapping[str, str]) -> str:
        return dump(
            {
                key: value if key in _SUMMED_BY or value != self._user else ERASED
                for key, value in labels.items()
                if key != "session"
            }
        )

    def _without_name(self, text: str) -> str:
        return ERASED if self._named.search(text) else text

    def _rename_call(self, db: sqlite3.Connection, call_id: str, id_: int) -> None:
        """Give a call and its corrections another id; a row's number is one that is free."""
        marks = {"mark": REPRICED_MARK, "after_mark": AFTER_MARK}
        db.execute(self._sql["rename_call"], {"old": call_id, "new": f"{ERASED}|{id_}", **marks})

    def _finish(self, db: sqlite3.Connection, done: int, newest: int) -> int:
        """Erase what came last, and all that is no entry."""
        keys = self._bucket_keys(self._rows(db, "bucket_keys"))
        ids = self._about(lambda name, **facts: self._rows(db, name, **facts), done, newest, keys)
        erased = self._erase(db, ids, keys)
        renamed = {key: new for key in keys if (new := self._remove_bucket(db, key))}
        self._in_flight = self._erase_holds(db, renamed)
        for key in self._bucket_keys(self._rows(db, "told")):
            db.execute(self._sql["forget_told"], (key,))
            db.execute(self._sql["forget_alerts"], (key,))
        for (scope,) in self._rows(db, "budget_scopes"):
            if self._is_theirs(scope_parts(scope)):
                db.execute(self._sql["forget_budgets"], (scope,))
        self._erase_audit(db)
        facts = {"user": self._user, "erased": ERASED}
        db.execute(self._sql["merge_sums"], facts)
        db.execute(self._sql["forget_sums"], facts)
        return erased

    def _remove_bucket(self, db: sqlite3.Connection, key: str) -> str | None:
        """Delete a bucket; one that calls in flight are held in gets another name: return it."""
        ((pattern, holds),) = db.execute(self._sql["bucket"], (key,)).fetchall()
        if not holds:
            db.execute(self._sql["drop_bucket"], (key,))
            return None
        ((count,),) = self._rows(db, "renamed")
        new = f"{ERASED}|{count + 1}"
        db.execute(
            self._sql["rename_bucket"],
            (new, self._scope(match_of(key)), self._pattern(pattern), key),
        )
        return new

    def _pattern(self, pattern: str) -> str:
        parts = scope_parts(pattern)
        return self._scope(parts) if self._is_theirs(parts) else pattern

    def _scope(self, match: Mapping[str, str]) -> str:
        return "+".join(
            f"{key}:{ERASED if self._is_name(key, value) else value}" if value else key
            for key, value in match.items()
        )

    def _is_name(self, key: str, value: str) -> bool:
        if key == "run":
            return self._named.search(value) is not None
        return key == "session" or (key not in _SUMMED_BY and value == self._user)

    def _erase_holds(self, db: sqlite3.Connection, renamed: Mapping[str, str]) -> int:
        count = 0
        for call_id, labels, tags, buckets in self._rows(db, "holds"):
            known = json.loads(labels)
            held = json.loads(buckets)
            theirs = known.get("user") == self._user
            if theirs or held.keys() & renamed.keys():
                count += theirs
                kept = dump({renamed.get(key, key): amount for key, amount in held.items()})
                row = (self._labels(known), "[]") if theirs else (labels, tags)
                db.execute(self._sql["change_hold"], (*row, kept, call_id))
        return count

    def _erase_audit(self, db: sqlite3.Connection) -> None:
        """Take the name out of the lines that tell of budgets of the person."""
        for id_, what, *words in self._rows(db, "audit"):
            told = _BUDGET_CHANGE.fullmatch(what)
            parts = scope_parts(told[1]) if told else {}
            if told and self._is_theirs(parts):
                scope = self._scope(parts)
                new = [
                    f"{scope}={word.rpartition('=')[2]}" if "=" in word else word for word in words
                ]
                line = f"budget {scope} per {told[2]} in {told[3]}"
                db.execute(self._sql["change_audit"], (line, *new, id_))

    def _note(self, db: sqlite3.Connection, who: str, at: datetime, erased: int) -> None:
        before = f"{erased} entries, {self._in_flight} calls in flight"
        what = f"the user with the hash {short_hash(self._user)}"
        db.execute(self._sql["note"], (micros(at), who, what, before, "erased"))
