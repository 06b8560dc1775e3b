"""Namespaces of sandboxes: made beside the links, opened late, let go early.

Making a namespace takes the kernel about as long as making a veth pair, so a bulk call has
them made by a thread of their own while the drivers are asked and links are made. Each
namespace holds two descriptors (itself and a netlink socket inside) only until its endpoint
is up: at most ``KEEP`` namespaces are open at once; beyond that the maker waits a little, and
then makes namespaces that are opened again, by their paths, when their turn comes.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any, Final

from driverapi import _native, errors
from driverapi._native import Namespace
from driverapi.dataplane.contract import Ownership
from driverapi.instance import Instance
from driverapi.paths import check_id

__all__ = ["LinuxNetns", "Sandboxes"]

CHUNK: Final = 16
"""Namespaces that one call of the maker makes: few, so that the first are ready soon."""

KEEP: Final = 256
"""Namespaces kept open at once at the most; less where the process may have few descriptors."""

PATIENCE: Final = 0.25
"""Seconds that the maker waits for others to be let go before it makes closed ones."""

FIRST_INDEX: Final = 64
"""The first ifindex we choose inside a sandbox: above what fallback tunnels take at birth."""

_SCARCE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
"""Why a namespace that is there cannot be opened just now."""


class LinuxNetns:
    """The namespace of one sandbox: what is known of it, and the open namespace while needed.

    Thread safety: the fields are written by whoever holds ``Sandboxes.lock``.
    """

    __slots__ = (
        "_made",
        "_sandboxes",
        "_users",
        "cancelled",
        "error",
        "gateways",
        "indexes",
        "key",
        "names",
        "namespace",
        "numbered",
        "others",
        "ownership",
        "routing",
    )

    def __init__(self, sandboxes: Sandboxes, key: str, ownership: Ownership, made: threading.Event | None) -> None:
        self.key = key
        self.ownership = ownership
        self.names: set[str] = {"lo"}  # of our links
        self.indexes: set[int] = {1}
        self.others: tuple[frozenset[str], frozenset[int]] = (frozenset(), frozenset())  # of somebody else's
        self.routing = threading.Lock()  # held while default routes are claimed, set and passed on
        self.gateways: list[tuple[Any, Any]] = []  # who wants the default route (endpoint, route), in order
        self.namespace: Namespace | None = None
        self.numbered = False  # on the host's side
        self.error: Exception | None = None
        self.cancelled = False
        self._made = made
        self._sandboxes = sandboxes
        self._users = 0

    def use(self) -> Namespace:
        """Return the open namespace, once it is made, for use until :meth:`rest`.

        It is opened by its path if it was let go.

        Raises
        ------
        errors.KernelError
            It could not be made, or is gone.
        """
        made = self._made
        if made is not None and not made.is_set():
            made.wait()
        if self.error is not None:
            raise self.error
        with self._sandboxes.lock:
            if self.namespace is None:
                self.namespace = _open(self.key)
                self._sandboxes.kept += 1
            self._users += 1
            return self.namespace

    def rest(self, *, used: bool = True) -> None:
        """End a use; with the last one the descriptors go. The path stays."""
        self._sandboxes.rest([self], used)

    @staticmethod
    def rest_many(many: Sequence[LinuxNetns]) -> None:
        """End a use of each of them."""
        many[0]._sandboxes.rest(many, True)

    def take_index(self) -> int:
        """Choose an ifindex for a link that will be born in it."""
        with self._sandboxes.lock:
            index = FIRST_INDEX
            while index in self.indexes or index in self.others[1]:
                index += 1
            self.indexes.add(index)
        return index

    def take_name(self, name: str, *, exact: bool) -> str:
        """Choose a name: that one, or with the lowest number that is free.

        Raises
        ------
        errors.ConflictError
            The exact name is taken.
        """
        with self._sandboxes.lock:
            if exact:
                if name in self.names or name in self.others[0]:
                    raise errors.ConflictError(
                        f"interface name {name!r} is taken in sandbox {self.key}; choose another"
                    )
                chosen = name
            else:
                number = 0
                while (chosen := f"{name}{number}") in self.names or chosen in self.others[0]:
                    number += 1
            self.names.add(chosen)
        return chosen

    def hold(self, name: str, index: int) -> None:
        """Note a link of ours that an earlier process made."""
        with self._sandboxes.lock:
            self.names.add(name)
            self.indexes.add(index)
            self.others = (self.others[0] - {name}, self.others[1] - {index})

    def give_back(self, name: str, index: int) -> None:
        """Forget a link that is gone."""
        with self._sandboxes.lock:
            self.names.discard(name)
            self.indexes.discard(index)

    def look(self, links: Iterable[tuple[str, int]]) -> None:
        """Learn which names and indexes somebody else's links have now."""
        found = list(links)
        with self._sandboxes.lock:
            names = frozenset(name for name, _ in found) - self.names
            self.others = (names, frozenset(index for _, index in found) - self.indexes)


class Sandboxes:
    """Makes, opens and drops the namespaces of one instance.

    Thread safety: all methods.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self.lock = threading.RLock()
        self.let_go = threading.Condition(self.lock)
        self.kept = 0
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._owned: dict[str, LinuxNetns] = {}  # by path, from before it is made until it is dropped
        self.keep = max(CHUNK, min(KEEP, soft // 8 if soft > 0 else KEEP))

    def make(self, ids: Sequence[str]) -> list[LinuxNetns]:
        """Begin to make a namespace per id; a single one is made at once."""
        chunks = [ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK)]
        batches = []
        directory = self._instance.namespaces
        for chunk in chunks:
            made = threading.Event()
            paths = [f"{directory}/{check_id(id, 'sandbox id')}" for id in chunk]
            batches.append((made, [LinuxNetns(self, path, Ownership.OWNED, made) for path in paths]))
        many = [netns for _, batch in batches for netns in batch]
        maker = threading.Thread(target=self._make, args=(batches,), name="driverapi-namespaces")
        try:
            with self.lock:
                self._owned.update((netns.key, netns) for netns in many)
            if len(ids) == 1:
                self._make(batches)
            elif batches:
                try:
                    maker.start()
                except RuntimeError:  # no thread is to be had: then not beside the links, but before them
                    self._make(batches)
        except BaseException:  # an interrupt
            if maker.ident is None:  # nobody else will say that their making is over
                for made, _ in batches:
                    made.set()
            self.drop(many)
            raise
        return many

    def discard(self, ids: Sequence[str] | None = None, *, keep: Collection[str] = ()) -> None:
        """Drop those of the ids, or of all but some paths, that nobody has dropped: their makers were interrupted."""
        with self.lock:
            paths = (
                [path for path in self._owned if path not in keep]
                if ids is None
                else [str(self._instance.namespaces / id) for id in ids]
            )
            left = [self._owned[path] for path in paths if path in self._owned]
        self.drop(left)

    def rest(self, many: Sequence[LinuxNetns], used: bool) -> None:
        """End a use of each; with its last one the descriptors of a namespace go."""
        with self.lock:
            for netns in many:
                netns._users -= used
                if netns.namespace is not None and not netns._users:
                    netns.namespace.close()
                    netns.namespace = None
                    self.kept -= 1
            self.let_go.notify_all()

    def _has_room(self, more: int) -> bool:
        return self.kept + more <= self.keep

    def _make(self, batches: Sequence[tuple[threading.Event, Sequence[LinuxNetns]]]) -> None:
        for made, batch in batches:
            try:
                with self.let_go:
                    roomy = self.let_go.wait_for(partial(self._has_room, len(batch)), PATIENCE)
                wanted = [netns for netns in batch if not netns.cancelled]
                for netns, answer in zip(
                    wanted, _native.create_namespaces([netns.key for netns in wanted]), strict=True
                ):
                    if isinstance(answer, OSError):
                        netns.error = _refused("make", netns.key, answer)
                    elif roomy:
                        with self.lock:
                            netns.namespace = answer
                            self.kept += 1
                    else:
                        answer.close()
            except Exception as fault:  # out of memory, say: each of the batch shall know
                for netns in batch:
                    netns.error = netns.error or errors.KernelError(f"make namespace {netns.key}: {fault}")
            finally:
                made.set()

    def wait(self, many: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Wait until they are made, and say which could not be."""
        for netns in many:
            if netns._made is not None:
                netns._made.wait()
        return [netns.error for netns in many]

    def existing(self, path: str) -> LinuxNetns:
        """Take somebody's namespace: see which names and indexes it has, once."""
        netns = LinuxNetns(self, os.path.abspath(path), Ownership.EXISTING, None)
        namespace = netns.use()
        try:
            netns.look((link.name, link.index) for link in namespace.socket.dump_links())
        finally:
            netns.rest()
        return netns

    def adopt(self, path: str) -> LinuxNetns:
        """Take a namespace of ours that an earlier process made: it stays, also if this start fails."""
        return LinuxNetns(self, path, Ownership.OWNED, None)

    def host(self) -> LinuxNetns:
        """Return the namespace of this process."""
        return LinuxNetns(self, f"/proc/{os.getpid()}/ns/net", Ownership.HOST, None)

    def foreign(self, key: str) -> LinuxNetns:
        """Take a namespace that is never opened."""
        return LinuxNetns(self, key, Ownership.FOREIGN, None)

    def drop(self, many: Sequence[LinuxNetns]) -> list[Exception | None]:
        """Unbind those that are owned, once their making is over."""
        owned = [netns for netns in many if netns.ownership is Ownership.OWNED]
        for netns in owned:
            netns.cancelled = True
        self.wait(owned)
        for netns in many:
            netns.rest(used=False)
        answers = dict(zip(map(id, owned), _native.drop_namespaces([netns.key for netns in owned]), strict=True))
        with self.lock:
            for netns in owned:
                if answers[id(netns)] is None:
                    self._owned.pop(netns.key, None)
        refused = [answers.get(id(netns)) for netns in many]
        return [
            None if error is None else _refused("drop", netns.key, error)
            for netns, error in zip(many, refused, strict=True)
        ]


def _open(path: str) -> Namespace:
    try:
        return _native.open_namespace(path)
    except OSError as error:
        if isinstance(error, PermissionError) or error.errno in _SCARCE:
            raise _refused("open", path, error) from error
        raise errors.NoSandboxError(f"{path!r} is no network namespace that can be opened: {error.strerror}") from error


def _refused(what: str, path: str, error: OSError) -> errors.KernelError:
    kind = errors.NoPermissionError if isinstance(error, PermissionError) else errors.KernelError
    advice = "; this needs CAP_SYS_ADMIN: run as root, or inside a user namespace" if error.errno == errno.EPERM else ""
    return kind(f"{what} namespace {path}: {error.strerror}{advice}", error.errno or 0)
