"""The store in a file: what was put is there again, one writes, and what is damaged is refused."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driverapi import errors
from driverapi.store import sqlite
from driverapi.store.contract import Kind, Record, State, Store
from driverapi.store.memory import MemoryStore
from driverapi.store.sqlite import DURABILITIES, SqliteStore

ONE = Record("one", "net", State.CREATED, "", Kind.ENDPOINT, b"{}")


def sorted_records(store: Store) -> list[Record]:
    return sorted(store.records(), key=lambda record: record.id)


@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_was_put_is_there_again(tmp_path: Path, durability: str) -> None:
    with_data = [Record(f"e{number}", "net", State.JOINED, "/ns/x", Kind.ENDPOINT, b"data") for number in range(1000)]
    store = SqliteStore(tmp_path / "state.db", durability=durability)
    store.put(with_data)
    store.put([Record("net", "net", State.CREATED, kind=Kind.NETWORK, data=b"n")])
    store.put([], ["e1", "unknown"])
    store.put_fact("instance", "ab12")
    store.close()
    store.close()
    again = SqliteStore(tmp_path / "state.db")
    assert {record.id for record in again.records()} == {"net", *(one.id for one in with_data)} - {"e1"}
    assert again.fact("instance") == "ab12"
    assert again.fact("none") is None
    again.close()
    with pytest.raises(errors.ClosedError):
        again.records()


def test_data_stays_where_none_is_given(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.put([ONE])
    store.put([Record("one", "net", State.JOINED, "/ns/x")])
    assert store.records() == [Record("one", "net", State.JOINED, "/ns/x", Kind.ENDPOINT, b"{}")]
    store.close()


records = st.builds(
    Record,
    st.sampled_from("abcdef"),
    st.just("net"),
    st.sampled_from(State),
    st.sampled_from(["", "/ns/1"]),
    st.just(Kind.ENDPOINT),
    st.binary(max_size=9),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.one_of(st.lists(records, max_size=4), st.lists(st.sampled_from("abcdef"), max_size=3)), max_size=12))
def test_as_the_store_in_memory(tmp_path: Path, steps: list[list[Any]]) -> None:
    path = tmp_path / "model.db"
    model = MemoryStore()
    store = SqliteStore(path, durability="none")
    store.put([], [record.id for record in store.records()])
    for number, step in enumerate(steps):
        for one in (store, model):
            if step and isinstance(step[0], Record):
                one.put(step)
            else:
                one.put([], step)
        if number % 5 == 4:
            store.close()
            store = SqliteStore(path, durability="none")
    assert sorted_records(store) == sorted_records(model)
    store.close()


def test_its_files_are_for_us_alone(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "state.db")
        store.put([ONE])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(umask)
    assert modes.keys() >= {"state.db", "state.db.lock", "state.db.good", "state.db-wal"}
    assert set(modes.values()) == {0o600}
    store.close()


def test_one_writes_and_others_read(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.put([ONE])
    with pytest.raises(errors.StateBusyError, match=str(os.getpid())):
        SqliteStore(path)
    reader = SqliteStore(path, reading=True)
    assert reader.records() == [ONE]
    with pytest.raises(errors.StateError):
        reader.put([ONE])
    store.put([], ["one"])
    assert reader.records() == []
    reader.close()
    store.close()
    SqliteStore(path).close()


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"x")
        signal.pause()
    try:
        assert os.read(ready, 1) == b"x"
        store.close()
        SqliteStore(tmp_path / "state.db").close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)


KILLED = """
import os, signal, sys
from driverapi.store.contract import Record, State
from driverapi.store.sqlite import SqliteStore
store = SqliteStore(sys.argv[1], durability=sys.argv[2])
store.put([Record(f"{n}", "net", State.CREATED) for n in range(100)])
store._database.execute("BEGIN IMMEDIATE")
store._database.execute("DELETE FROM things")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_killed_writer_leaves_whole_calls(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "state.db"
    done = subprocess.run([sys.executable, "-c", KILLED, path, durability], check=False)
    assert done.returncode == -signal.SIGKILL
    store = SqliteStore(path)
    assert len(store.records()) == 100
    store.close()


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" + bytes(4080)])
def test_what_is_none_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    with pytest.raises(errors.StateDamagedError):
        SqliteStore(path)
    assert path.read_bytes() == content
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(errors.StateDamagedError, match="none of this package"):
        SqliteStore(path)


def test_a_damaged_file_is_refused_and_the_good_copy_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.put([Record(f"{n}", "net", State.CREATED, data=bytes(500)) for n in range(200)])
    store.close()
    SqliteStore(path).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + os.urandom(4096) + whole[12288:])
    with pytest.raises(errors.StateDamagedError, match=r"state\.db\.good"):
        SqliteStore(path)
    (tmp_path / "state.db.good").replace(path)
    store = SqliteStore(path)
    assert len(store.records()) == 200
    store.close()


def test_a_log_is_to_go_with_the_file_that_it_belongs_to(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "state.db").close()
    (tmp_path / "state.db").write_bytes(b"damaged")
    with pytest.raises(errors.StateDamagedError, match=r"move that in its place, and take .*state\.db-wal away"):
        SqliteStore(tmp_path / "state.db")


def test_a_file_that_was_emptied_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.put([ONE])
    store.close()
    SqliteStore(path).close()
    path.write_bytes(b"")
    for reading in (False, True):
        with pytest.raises(errors.StateDamagedError, match=r"state\.db\.good"):
            SqliteStore(path, reading=reading)
    (tmp_path / "state.db.good").replace(path)
    store = SqliteStore(path)
    assert store.records() == [ONE]
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA user_version = -5",
        "DROP TABLE things",
        "UPDATE things SET kind = 'what'",
        "UPDATE things SET state = 'what'",
        "UPDATE things SET data = 'text'",
        "UPDATE things SET made = 12",
        "UPDATE things SET network = CAST(x'ff' AS TEXT)",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = CAST(x'435245415445ff' AS TEXT)",
    ],
)
def test_what_says_nothing_is_damaged_and_the_good_copy_stays(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.put([ONE])
    store.close()
    SqliteStore(path).close()
    raw = sqlite3.connect(path)
    raw.executescript(statement)
    raw.close()
    with pytest.raises(errors.StateDamagedError):
        SqliteStore(path)
    (tmp_path / "state.db.good").replace(path)
    store = SqliteStore(path)
    assert store.records() == [ONE]
    store.close()


def test_what_the_check_refuses_is_not_kept_as_good(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    store.put([ONE])
    store.close()
    good = (tmp_path / "state.db.good").read_bytes()

    def refuse(records: object) -> None:
        raise errors.StateDamagedError(f"no sense in {len(list(records))}")  # type: ignore[call-overload]

    with pytest.raises(errors.StateDamagedError, match="no sense in 1"):
        SqliteStore(path, check=refuse)
    assert (tmp_path / "state.db.good").read_bytes() == good


def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch(0o600)
    store = SqliteStore(tmp_path / "state.db")
    assert store.records() == []
    store.close()


def test_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteStore(path).close()
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version = {sqlite.SCHEMA + 1}")
    raw.close()
    with pytest.raises(errors.StateError, match="newer version"):
        SqliteStore(path)


SCHEMA_1 = """
CREATE TABLE things (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, network TEXT NOT NULL, state TEXT NOT NULL, sandbox TEXT NOT NULL,
    data BLOB, made BLOB
) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('instance', 'abcd');
INSERT INTO things VALUES ('an old one', 'endpoint', 'net', 'created', 'box', x'01', NULL);
PRAGMA user_version = 1;
"""


def test_an_older_one_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(0o600)
    raw = sqlite3.connect(path)
    raw.executescript(f"PRAGMA application_id = {sqlite._MARK}; {SCHEMA_1}")
    raw.close()
    old = Record("an old one", "net", State.CREATED, "box", Kind.ENDPOINT, b"\x01", None)
    reader = SqliteStore(path, reading=True)  # does not change it
    assert reader.records() == [old]
    reader.close()
    for _ in range(2):
        store = SqliteStore(path)
        assert store.records()[0] == old
        assert store.fact("instance") == "abcd"
        store.put([ONE])
        store.close()
    raw = sqlite3.connect(path)
    assert raw.execute("PRAGMA user_version").fetchone() == (sqlite.SCHEMA,)
    raw.close()


def test_records_come_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    ids = [f"{n * 7919 % 100:02}" for n in range(100)]
    store.put([Record(id, "net", State.CREATING) for id in ids])
    store.put([Record(id, "net", State.CREATED) for id in sorted(ids)])
    assert [one.id for one in store.records()] == ids
    store.close()


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    store.put([ONE])
    assert store._database is not None
    store._database.execute("PRAGMA max_page_count = 8")
    with pytest.raises(errors.StateError, match="full"):
        store.put([Record(f"{n}", "net", State.CREATED, data=bytes(500)) for n in range(200)])
    assert store.records() == [ONE]
    store._database.execute("PRAGMA max_page_count = 1000000")
    store.put([Record("two", "net", State.CREATED)])
    assert len(store.records()) == 2
    store.close()


@pytest.mark.parametrize("path", ["", "a\0b", None, 3, b"\xff\0"])
def test_a_path_that_is_none(path: Any) -> None:
    with pytest.raises(errors.InvalidError):
        SqliteStore(path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(errors.StateError, match=r"there is no directory .*; make it first"):
        SqliteStore(tmp_path / "none" / "state.db")
    with pytest.raises(errors.StateError, match="there is no state"):
        SqliteStore(tmp_path / "state.db", reading=True)
    with pytest.raises(errors.InvalidError, match="durability"):
        SqliteStore(tmp_path / "state.db", durability="some")
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_grow_with_history(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    sizes = []
    for _ in range(8):
        for _ in range(20):
            store.put([Record(f"{n}", "net", State.CREATED, data=bytes(200)) for n in range(200)])
            store.put([], [f"{n}" for n in range(200)])
        sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
    assert sizes[-1] <= sizes[3]  # the log is written anew when it has a thousand pages
    store.close()
