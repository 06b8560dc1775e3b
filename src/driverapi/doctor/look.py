"""Looking: instances by their directories and by the links that carry their ids; nothing is changed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from driverapi import errors
from driverapi._native import LinkRecord, NetlinkError, NetlinkSocket
from driverapi.control.keeping import given_up, surroundings
from driverapi.dataplane.failures import failure
from driverapi.dataplane.firewall.reading import PORT_SETS, instance_of, read_keys, read_tables
from driverapi.dataplane.ipforward import host_forwarding
from driverapi.dataplane.routed import METRIC_MARK
from driverapi.doctor.compare import differences
from driverapi.instance import GROUP_MARK, GROUPS, LINK_MARK, STATE, default_run_dir, is_marked_group
from driverapi.iptables import CHAIN, find_rules
from driverapi.leftovers import namespace_mounts, unescaped
from driverapi.paths import private_directory
from driverapi.store.contract import State
from driverapi.store.sqlite import SqliteStore

__all__ = ["Finding", "InstanceFound", "Report", "examine", "id_of_link"]

_ID: Final = re.compile(r"[0-9a-f]{4}")
_BEING_MADE: Final = 10.0  # seconds for which a directory may be without a lock
_BLACKHOLE: Final = 6  # RTN_BLACKHOLE, linux/rtnetlink.h
_SETTLED: Final = frozenset({State.CREATED, State.JOINED, State.RESTING})
_MOST: Final = 4096  # bytes of a path
_LOOKS: Final = 10
_BETWEEN: Final = 0.1  # seconds
_SHOWN: Final = 5  # differences that are told one by one


@dataclass(slots=True)
class InstanceFound:
    """One instance: a controller that lives, or what is left of one.

    Attributes
    ----------
    id : str
        Four hexadecimal digits.
    directory : str
        Where its namespaces are; empty where only links carry its id.
    owner : str
        ``"process"``: it lives; ``"state"``: a state has it, and no process that; ``"nobody"``;
        ``"unknown"``: links carry its id, and its directory is none of those that were looked at.
    pid : int or None
        Of the process that holds its lock, as that wrote it.
    state : str
        The path of its state, where it has one.
    clean : bool
        Its last controller was closed, and not killed.
    elsewhere : bool
        Its state was last used in another network namespace of this boot: from here nothing can be said of it.
    links, namespaces, routes : int
        How many carry its id: links and routes of this network namespace.
    tables : list of str
        Its tables of packet filter rules in this network namespace, as ``"inet driverapi-ID"``.
    ports, ruled : int
        Published ports, one for each family, and networks with rules that these have.
    user_rules : int
        Rules of a plugin in ``DOCKER-USER``, of this network namespace.
    given_up : list of dict
        What a plugin took away because its engine had forgotten it: ``at`` (seconds since 1970), ``network``,
        ``endpoint``, ``addresses``; the last hundred. Nothing is wrong with that any more.
    """

    id: str
    directory: str = ""
    owner: str = "nobody"
    pid: int | None = None
    state: str = ""
    clean: bool = True
    elsewhere: bool = False
    links: int = 0
    namespaces: int = 0
    routes: int = 0
    tables: list[str] = field(default_factory=list)
    ports: int = 0
    ruled: int = 0
    user_rules: int = 0
    given_up: list[dict[str, Any]] = field(default_factory=list)
    _opened: str | None = None  # which controller was at work on its state last
    _elements: dict[str, set[bytes]] | None = None  # keys of its published ports, by their sets; None: not looked at

    @property
    def has(self) -> str:
        """What it has, in words."""
        text = f"{self.links} links, {self.namespaces} namespaces, {self.routes} routes"
        if self.tables:
            text += f", tables {', '.join(self.tables)} ({self.ports} ports, {self.ruled} networks)"
        if self.user_rules:
            text += f", {self.user_rules} rules in {CHAIN}"
        return text


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be.

    Attributes
    ----------
    kind : str
        ``"orphan"``: nobody owns it; ``"unclean"``: the process of a state ended before it was closed;
        ``"differs"``: a state says what is not so in the kernel, or the other way round;
        ``"damaged"``: a state that cannot be read; ``"unknown"``: it may belong to a directory that was not looked at;
        ``"limit"``: a limit of the kernel is near.
    instance : str
        Id of the instance, or empty.
    what, advice : str
        For people.
    mendable : bool
        Whether :func:`driverapi.doctor.mend` does something about it.
    """

    kind: str
    instance: str
    what: str
    advice: str
    mendable: bool = True


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes
    ----------
    unread : str
        Why the packet filter could not be looked at; empty where it was.
    """

    run_dir: str
    unread: str = ""
    instances: list[InstanceFound] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether there is no finding."""
        return not self.findings


def examine(run_dir: str | os.PathLike[str] | None = None, states: Sequence[str | os.PathLike[str]] = ()) -> Report:
    """Look at a run directory, and at the links and routes of the calling thread's network namespace.

    Controllers may come and go meanwhile: what is wrong is looked at until two looks agree, a second at most.

    Parameters
    ----------
    states : sequence of path
        States to look at beside those that instances of the directory name: after a reboot no directory does.

    Raises
    ------
    errors.KernelError, errors.NoPermissionError
        It could not look.
    errors.UnsafePathError
        Others can change the directory.
    """
    base = Path(default_run_dir() if run_dir is None else run_dir).absolute()
    with contextlib.suppress(FileNotFoundError):
        base = private_directory(base, "run_dir", make=False)
    paths = [os.path.abspath(os.fsdecode(path)) for path in states]
    report = _look(base, paths)
    for _ in range(_LOOKS):
        if report.healthy:
            break
        time.sleep(_BETWEEN)
        before, report = report, _look(base, paths)
        if report.findings == before.findings and _ends(report) == _ends(before):
            break
    return report


def _ends(report: Report) -> dict[str, str | None]:
    return {one.id: one._opened for one in report.instances}


def _look(base: Path, states: Sequence[str]) -> Report:
    report = Report(str(base))
    found: dict[str, InstanceFound] = {}
    for one in _directories(base):
        found[one.id] = one
    for path in states:
        if path not in {one.state for one in found.values()}:
            _add_state(path, found, report.findings)
    links, names = _count_marks(found)
    report.unread = _count_rules(found)
    with host_forwarding(base) as forwarding:
        left_on = forwarding.is_left_on()
    if left_on:
        text = "net.ipv4.ip_forward was switched on for networks of which nothing is left"
        report.findings.append(Finding("orphan", "", text, "--fix puts it back"))
    for one in found.values():
        _judge(one, links.get(one.id, {}), names, report.findings)
        one.given_up = _given_up(one)
    report.instances = sorted(found.values(), key=lambda one: one.id)
    return report


def _given_up(one: InstanceFound) -> list[dict[str, Any]]:
    """Return what a plugin's state says of endpoints that its engine had forgotten."""
    if not one.state or not os.path.exists(one.state):
        return []
    try:
        store = SqliteStore(one.state, reading=True)
        try:
            return given_up(store) if store.fact("instance") == one.id else []
        finally:
            store.close()
    except errors.DriverAPIError:  # it is a finding of its own
        return []


def _add_state(path: str, found: dict[str, InstanceFound], findings: list[Finding]) -> None:
    """Add the instance of a state that none of the directories named."""
    try:
        store = SqliteStore(path, reading=True)
        try:
            id, base = store.fact("instance"), store.fact("run_dir")
        finally:
            store.close()
    except errors.DriverAPIError as error:
        findings.append(Finding("damaged", "", str(error), "mend it, or move it away", mendable=False))
        return
    if id is None or base is None or id in found or not _ID.fullmatch(id):
        return
    one = InstanceFound(id, str(Path(base) / id), state=path)
    if os.path.isdir(one.directory):
        mounts = [unescaped(path) for path in namespace_mounts(one.directory)]
        one.namespaces = len(mounts)
        with contextlib.suppress(FileNotFoundError):
            _look_into(Path(one.directory), one)
            one.state = path
    elif _flies_flag(id):
        return  # others have the id since
    found[id] = one


def id_of_link(link: LinkRecord) -> str | None:
    """Return the id of the instance that a link carries, by its group and its name, but for bridges and VLANs."""
    if not is_marked_group(link.group):
        return None
    id = f"{(link.group - GROUP_MARK) // GROUPS:04x}"
    named = link.name.startswith(f"{LINK_MARK}{id}")
    return id if _ID.fullmatch(id) and (named or link.kind in ("bridge", "vlan")) else None


def _directories(base: Path) -> list[InstanceFound]:
    try:
        names = sorted(os.listdir(base))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise errors.NoPermissionError(f"no permission to look at {base}: {error.strerror}", errno.EACCES) from error
    mounts = [unescaped(path) for path in namespace_mounts(str(base))]
    found = []
    for name in names:
        directory = base / name
        if not _ID.fullmatch(name) or directory.is_symlink() or not directory.is_dir():
            continue
        one = InstanceFound(name, str(directory))
        one.namespaces = sum(path.startswith(f"{directory}/ns/") for path in mounts)
        with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
            _look_into(directory, one)
            found.append(one)
    return found


def _look_into(directory: Path, one: InstanceFound) -> None:
    alive, one.pid = _holder(directory)
    if alive or _flies_flag(one.id):
        one.owner = "process"
    if not one.namespaces:  # what is not a mount any more is a file
        with contextlib.suppress(FileNotFoundError):
            one.namespaces = len(os.listdir(directory / "ns"))
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(directory / STATE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            one.state = os.fsdecode(os.read(descriptor, _MOST))
        finally:
            os.close(descriptor)


def _holder(directory: Path) -> tuple[bool, int | None]:
    """Tell whether somebody holds the lock of an instance, and which process says that it does."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - directory.stat().st_ctime < _BEING_MADE, None
    try:
        text = os.read(descriptor, 32).strip()
        pid = int(text) if text.isdigit() else None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # who wants it just now tries again
        except BlockingIOError:
            return True, pid
        return False, pid
    finally:
        os.close(descriptor)


def _flies_flag(id: str) -> bool:
    """Tell whether an instance of that id lives in this network namespace, wherever its directory is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(f"\0driverapi-{id}")
        except ConnectionRefusedError:
            return False
    return True


def _count_marks(found: dict[str, InstanceFound]) -> tuple[dict[str, dict[int, LinkRecord]], dict[int, str]]:
    """Count what carries an id; return the links of each, and the names of all links."""
    try:
        with NetlinkSocket() as netlink:
            links = netlink.dump_links()
            routes = netlink.dump_routes()
    except NetlinkError as error:
        raise failure("look at links and routes", error) from error
    marks = [(id_of_link(link), "links") for link in links]
    marks += [
        (f"{route.metric & 0xFFFF:04x}", "routes")
        for route in routes
        if route.type == _BLACKHOLE and route.metric & ~0xFFFF == METRIC_MARK
    ]
    marks += [(id, "user_rules") for id, rules in find_rules().items() for _ in rules]
    for id, what in marks:
        if id is None:
            continue
        if id not in found:
            found[id] = InstanceFound(id, owner="process" if _flies_flag(id) else "unknown")
        setattr(found[id], what, getattr(found[id], what) + 1)
    of: dict[str, dict[int, LinkRecord]] = {}
    for link in links:
        if (id := id_of_link(link)) is not None:
            of.setdefault(id, {})[link.index] = link
    return of, {link.index: link.name for link in links}


def _count_rules(found: dict[str, InstanceFound]) -> str:
    """Count what the packet filter has of each instance; say why it cannot be looked at."""
    try:
        for family, table in read_tables():
            id = instance_of(table)
            if id not in found:
                found[id] = InstanceFound(id, owner="process" if _flies_flag(id) else "unknown")
            one = found[id]
            one.tables.append(f"{family} {table}")
            if family == "inet":
                one._elements = {name: read_keys(family, table, name) for name in PORT_SETS}
                one.ports = sum(map(len, one._elements.values()))
                one.ruled = len(read_keys(family, table, "links"))
    except OSError as error:
        return error.strerror or str(error)
    for one in found.values():
        one._elements = one._elements or {}
    return ""


def _judge(
    one: InstanceFound, links: Mapping[int, LinkRecord], names: Mapping[int, str], findings: list[Finding]
) -> None:
    """Say whose an instance is, and what is wrong with it."""
    if one.owner == "process":
        return
    has = one.has
    if one.owner == "unknown":
        findings.append(
            Finding(
                "unknown",
                one.id,
                f"instance {one.id}: {has}; no process has it, and no directory of it is here",
                "look at the run_dir that it had; if there is none any more, name it: --forget " + one.id,
                mendable=False,
            )
        )
        return
    if one.state:
        try:
            found = _ask_state(one, links, names)
        except errors.DriverAPIError as error:
            one.owner = "state"
            text = f"instance {one.id}: {error}; {has}"
            advice = "mend or move the state away; without it all this belongs to nobody"
            findings.append(Finding("damaged", one.id, text, advice, mendable=False))
            return
        if found is not None:
            one.owner = "state"
            findings += found
            return
    gone = f"its state {one.state} is no more" if one.state else f"process {one.pid} is no more"
    findings.append(
        Finding("orphan", one.id, f"instance {one.id}: {gone}; left: {has}", "--fix takes it away"),
    )


def _ask_state(one: InstanceFound, links: Mapping[int, LinkRecord], names: Mapping[int, str]) -> list[Finding] | None:
    """Ask the state that an instance names what is wrong; None where it is gone, or has another instance."""
    if not os.path.exists(one.state):
        return None
    store = SqliteStore(one.state, reading=True)
    try:
        if store.fact("instance") != one.id:
            return None
        records = store.records()
        one._opened = store.fact("opened")
        one.clean = store.fact("closed") == one._opened
    finally:
        store.close()
    one.elsewhere = _is_elsewhere(one._opened)
    if one.elsewhere:
        return []
    mounts = [unescaped(path) for path in namespace_mounts(one.directory)]
    wrong = differences(records, links, names, mounts, one._elements)
    half = sum(record.state not in _SETTLED for record in records)
    advice = "the next controller on that state mends it; so does --fix"
    found = []
    if not one.clean:
        text = f"instance {one.id}: the process of state {one.state} ended without closing it; {half} half-done"
        found.append(Finding("unclean", one.id, text, advice))
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        text = f"state {one.state} and the kernel differ: {'; '.join(wrong[:_SHOWN])}{more}"
        found.append(Finding("differs", one.id, text, advice))
    return found


def _is_elsewhere(opened: str | None) -> bool:
    """Tell whether a controller was at work in another network namespace, since the machine was started."""
    here, then = surroundings().split(), (opened or "").split()
    return len(then) > 1 and len(here) > 1 and here[0] == then[0] and here[1] != then[1]
