"""State in a SQLite file: it outlives the process, and as far as its durability says the machine.

One process writes, and holds the lock of the file ``PATH.lock`` for as long; any number may read meanwhile (the
journal is a write-ahead log). What each durability can lose:

======  =====================================  =======================================================
level   the process is killed                  the machine loses its power
======  =====================================  =======================================================
full    nothing is lost                        nothing that a caller was told is lost
normal  nothing is lost                        the last calls may be lost, never half of one
none    nothing is lost                        the file may be damaged: the last good copy is there
======  =====================================  =======================================================

Only what a caller is told is waited for (``flush``), not an intent: without power the kernel has forgotten what that
was about. A call waits once, however much it did.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar, final

from driverapi import errors
from driverapi.events import emit, of_fault
from driverapi.paths import check_private_file, path_text, private_directory
from driverapi.store.contract import Kind, Record, State

__all__ = ["DURABILITIES", "SCHEMA", "SqliteStore"]

T = TypeVar("T")

DURABILITIES: Final = {"full": "NORMAL", "normal": "NORMAL", "none": "OFF"}
"""Durability levels and SQLite's ``synchronous`` of each: at ``full`` we sync the log ourselves, once a call."""

SCHEMA: Final = 2
"""Version of the tables, in ``user_version``. Since 2 things keep the order in which they were made."""

_MARK: Final = 0x64766170  # "dvap": SQLite's application_id of our files

_TABLES: Final = """
CREATE TABLE things (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    network TEXT NOT NULL,
    state TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    data BLOB,
    made BLOB
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

# From each older version to the next: its position is the version it starts from.
_MIGRATIONS: Final[Sequence[str]] = (
    "",
    """
    CREATE TABLE ordered (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, network TEXT NOT NULL, state TEXT NOT NULL, sandbox TEXT NOT NULL,
        data BLOB, made BLOB
    );
    INSERT INTO ordered SELECT id, kind, network, state, sandbox, data, made FROM things;
    DROP TABLE things;
    ALTER TABLE ordered RENAME TO things
    """,
)

_PUT: Final = """
INSERT INTO things (id, kind, network, state, sandbox, data, made) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    state = excluded.state, sandbox = excluded.sandbox,
    data = coalesce(excluded.data, data), made = coalesce(excluded.made, made)
"""

_ALL_OF_1: Final = "SELECT id, network, state, sandbox, kind, data, made FROM things"
_ALL: Final = _ALL_OF_1 + " ORDER BY rowid"

_DROP: Final = "DELETE FROM things WHERE id = ?"

_Row = tuple[str, str, str, str, str, bytes | None, bytes | None]


_open: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


@final
class SqliteStore:
    """Records in a SQLite file.

    Parameters
    ----------
    path : path
        The file; made, with mode 0600, where it is not there. ``PATH.lock`` and ``PATH.good`` stand beside it.
    durability : str
        ``"full"``, ``"normal"`` or ``"none"``; see the module.
    reading : bool
        Only to read: no lock is needed, and nothing is made.
    check : callable, optional
        Given all records before the good copy is made; raises ``StateDamagedError`` for what says nothing.

    Raises
    ------
    errors.StateBusyError
        Another process writes; the text has its number.
    errors.StateDamagedError
        The file is none of ours, or damaged.
    errors.StateError
        It cannot be opened, or a newer version has written it.
    errors.UnsafePathError
        Others can change it, or its directory: theirs, writable by them, or a symbolic link.

    Notes
    -----
    Thread safety: all methods.
    """

    keeps = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: str = "normal",
        reading: bool = False,
        check: Callable[[Sequence[Record]], object] = lambda records: None,
    ) -> None:
        if durability not in DURABILITIES:
            raise errors.InvalidError(f"durability {durability!r} is not one of {', '.join(DURABILITIES)}")
        self.path = _checked(path)
        self._durability = DURABILITIES[durability]
        self._syncs = durability == "full"
        self._dirty = False  # something was written since the last flush
        self._owed: dict[str, _Row | None] = {}  # by id; None: to be removed
        self._mutex = threading.Lock()
        self._lock = -1 if reading else _lock(self.path)
        self._database: sqlite3.Connection | None = None
        _open.add(self)
        try:
            self._database = self._open(reading)
            if not reading:
                self._check_records(check)
                self._keep_good()
        except BaseException:
            self.close()
            raise

    @property
    def good(self) -> Path:
        """Where the last good copy stands: that of the last time that it was opened and found whole."""
        return self.path.with_name(self.path.name + ".good")

    # --- opening --------------------------------------------------------------------------------

    def _open(self, reading: bool) -> sqlite3.Connection:
        new = not self.path.exists() or not self.path.stat().st_size
        if new and self.path.exists() and self.good.exists():
            raise self._damaged("it is empty, and was not")
        if new and reading:
            raise errors.StateError(f"there is no state at {self.path}")
        if not self.path.exists():
            with _told(self.path):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        try:
            uri = f"{self.path.as_uri()}?mode={'ro' if reading else 'rw'}"
            if reading and not os.access(self.path.parent, os.W_OK) and not os.path.lexists(f"{self.path}-wal"):
                uri += "&immutable=1"  # at rest, where nobody can write: SQLite would want to make the log
            database = sqlite3.connect(uri, uri=True, timeout=5, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise errors.StateError(f"state {self.path} cannot be opened: {error}") from error
        try:
            if new:
                _begin(database)
            self._check(database)
            if not reading:
                _migrate(database)
                self._ordered = True
                database.execute("PRAGMA journal_mode = WAL")
                database.execute(f"PRAGMA synchronous = {self._durability}")
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.Error):
                raise self._failure(error) from error
            if isinstance(error, UnicodeDecodeError):  # SQLite's own text has bytes of the file in it
                raise self._damaged("its tables cannot be read") from error
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        [mark] = database.execute("PRAGMA application_id").fetchone()
        [version] = database.execute("PRAGMA user_version").fetchone()
        if mark != _MARK:
            raise errors.StateDamagedError(f"{self.path} is a database, but none of this package; choose another path")
        if version > SCHEMA:
            raise errors.StateError(
                f"state {self.path} was written by a newer version (schema {version}, this one knows {SCHEMA}); upgrade"
            )
        if version < 0:
            raise self._damaged(f"schema {version}")
        self._ordered = version > 1  # who only reads does not migrate
        [answer] = database.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise self._damaged(str(answer))

    def _damaged(self, what: str) -> errors.StateDamagedError:
        way = "there is no good copy; move it away"
        if self.good.exists():  # a log that is none of the copy's would be played into it
            way = f"its last good copy is {self.good}: move that in its place, and take {self.path}-wal away"
        return errors.StateDamagedError(f"state {self.path} is damaged ({what}); {way}")

    def _failure(self, error: sqlite3.Error) -> errors.StateError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # none: its text was no UTF-8
        operational = isinstance(error, sqlite3.OperationalError) and code & 0xFF != sqlite3.SQLITE_ERROR
        if isinstance(error, sqlite3.DatabaseError) and not operational:
            return self._damaged(str(error))
        return errors.StateError(f"state {self.path}: {error}")

    def _check_records(self, check: Callable[[Sequence[Record]], object]) -> None:
        try:
            check(self.records())
        except errors.StateDamagedError as error:
            raise self._damaged(str(error)) from error

    def _keep_good(self) -> None:
        """Copy what was found whole; the old copy stays where that fails."""
        assert self._database is not None
        draft = self.good.with_name(self.good.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                draft.unlink()
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            copy = sqlite3.connect(draft)
            try:
                self._database.backup(copy)
            finally:
                copy.close()
            draft.replace(self.good)
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            raise errors.StateError(f"state {self.path}: its good copy cannot be written: {error}") from error

    # --- records --------------------------------------------------------------------------------

    def put(self, records: Iterable[Record], gone: Iterable[str] = ()) -> None:
        """Write records and remove others, in one transaction; what is owed goes before."""
        self._write(*_rows(records, gone))

    def owe(self, records: Iterable[Record] = (), gone: Iterable[str] = ()) -> None:
        """Do as :meth:`put`; what cannot be written is written with what comes next."""
        rows, ids = _rows(records, gone)
        try:
            self._write(rows, ids)
        except errors.StateError as error:
            emit("state.owed", **of_fault(error))
            with self._mutex:
                self._owed.update((row[0], row) for row in rows)
                self._owed.update((id, None) for (id,) in ids)

    def flush(self) -> None:
        """At level ``full``, wait until what was written is on the disk."""
        if self._syncs and self._dirty:
            self._dirty = False  # first: what others write meanwhile is theirs to wait for
            try:
                descriptor = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                self._dirty = True
                raise errors.StateError(
                    f"state {self.path}: {error.strerror}; all is done, but may not outlive a loss of power"
                ) from error

    def records(self) -> Sequence[Record]:
        """Return all records, in the order in which they were put first."""
        rows = self._run(lambda database: database.execute(_ALL if self._ordered else _ALL_OF_1).fetchall())
        try:
            return [
                Record(id, network, State(state), sandbox, Kind(kind), _blob(data), _blob(made))
                for id, network, state, sandbox, kind, data, made in rows
            ]
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def fact(self, name: str) -> str | None:
        """Return a fact of the whole, as the instance's id."""
        row = self._run(lambda database: database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone())
        return None if row is None else str(row[0])

    def put_fact(self, name: str, value: str) -> None:
        """Write a fact."""
        self._run(
            lambda database: database.execute(
                "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value)
            ),
            writes=True,
        )

    def _write(self, rows: Sequence[_Row], gone: Sequence[tuple[str]]) -> None:
        def work(database: sqlite3.Connection) -> None:
            if rows:
                database.executemany(_PUT, rows)
            if gone:
                database.executemany(_DROP, gone)

        self._run(work, writes=True)

    def _run(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        """Do something, in a transaction of its own where it writes; what fails has changed nothing."""
        with self._mutex:
            database = self._database
            if database is None:
                raise errors.ClosedError(f"state {self.path} is closed")
            try:
                if not writes:
                    return work(database)
                database.execute("BEGIN IMMEDIATE")
                try:
                    if self._owed:
                        database.executemany(_PUT, [row for row in self._owed.values() if row is not None])
                        database.executemany(_DROP, [(id,) for id, row in self._owed.items() if row is None])
                    result = work(database)
                    database.execute("COMMIT")
                except BaseException:
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    raise
                self._owed.clear()
                self._dirty = True
                return result
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self._owed:
            self.owe()
        with self._mutex:
            database, self._database = self._database, None
            try:
                if database is not None:
                    database.close()
            finally:
                descriptor, self._lock = self._lock, -1
                if descriptor >= 0:
                    os.close(descriptor)


def _blob(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    raise ValueError(f"{value!r} is not bytes")


def _rows(records: Iterable[Record], gone: Iterable[str]) -> tuple[list[_Row], list[tuple[str]]]:
    return [
        (one.id, one.kind.value, one.network, one.state.value, one.sandbox, one.data, one.made) for one in records
    ], [(id,) for id in gone]


def _begin(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.executescript(f"BEGIN; PRAGMA application_id = {_MARK}; PRAGMA user_version = {SCHEMA}; {_TABLES} COMMIT;")


def _migrate(database: sqlite3.Connection) -> None:
    """Bring older tables up to date, each version in a transaction."""
    [version] = database.execute("PRAGMA user_version").fetchone()
    while version < SCHEMA:
        database.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[version]}; PRAGMA user_version = {version + 1}; COMMIT;")
        version += 1


def _lock(path: Path) -> int:
    """Hold the lock of the state: an open file description of ours has it, so it goes with the process."""
    lock = path.with_name(path.name + ".lock")
    with _told(path):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise errors.StateBusyError(
                f"state {path} is in use by process {holder}; end that controller, or choose another path"
            ) from None
        with _told(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except errors.UnsafePathError:
        raise
    except OSError as error:
        kind = errors.StateError
        if isinstance(error, FileNotFoundError) and not path.parent.exists():
            raise kind(f"state {path} cannot be made: there is no directory {path.parent}; make it first") from error
        raise kind(f"state {path} cannot be made: {error.strerror or error}") from error


def _checked(path: str | os.PathLike[str]) -> Path:
    text = path_text(path)
    if not text:
        raise errors.InvalidError(f"state {path!r} is not the path of a file")
    place = Path(text).absolute()
    with _told(place):
        place = private_directory(place.parent, "the directory of the state,", make=False) / place.name
        check_private_file(place, "state")
    return place


def _after_fork() -> None:
    # A child shares the lock's open file: it would keep a dead parent's state locked.
    for store in list(_open):
        descriptor, store._lock = store._lock, -1
        if descriptor >= 0:
            os.close(descriptor)


os.register_at_fork(after_in_child=_after_fork)
