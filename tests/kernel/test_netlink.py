"""The netlink half of the native core on the real kernel, in a private network and mount namespace."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from _fastnet import netns
from _fastnet.answers import UNKNOWN, Answers
from _fastnet.batch import Batch
from _fastnet.errors import NetlinkError
from _fastnet.records import links
from _fastnet.socket import NetlinkSocket

V4, V6, MAC = b"\x0a\1\0\1", b"\xfd" + bytes(14) + b"\1", b"\2\0\0\0\0\1"


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for namespaces on the private tmpfs."""
    path = Path("/run/netns-tests")
    path.mkdir()
    yield path
    netns.drop([str(child) for child in path.iterdir()])
    path.rmdir()


def run(where: NetlinkSocket, verb: str, *args: Any, **kwargs: Any) -> int:
    """Execute one verb alone and give its status."""
    batch = Batch()
    getattr(batch, verb)(*args, **kwargs)
    return where.execute(batch)[0]


def names(where: NetlinkSocket) -> set[str]:
    return {link.name for link in where.dump_links()}


def made(answer: netns.Namespace | OSError) -> netns.Namespace:
    assert isinstance(answer, netns.Namespace), answer
    return answer


# --------------------------------------------------------------------------------------------------- bring-up
def test_an_endpoint_read_back_by_us_and_by_pyroute2(host: NetlinkSocket, directory: Path) -> None:
    path = directory / "box"
    (box,) = map(made, netns.create([str(path)]))
    batch = Batch()
    batch.add_bridge("br0", index=10, mac=b"\2\0\0\0\0\xff", mtu=1400, group=70, up=True)
    batch.add_veth(
        "dv1",
        "eth0",
        index=100,
        peer_index=200,
        namespace=box.fileno(),
        mac=b"\2\0\0\0\0\2",
        peer_mac=MAC,
        master=10,
        mtu=1400,
        group=70,
        up=True,
    )
    host.execute(batch).check()

    batch = Batch()
    batch.set_link(1, up=True)
    batch.set_link(200, addr_gen_mode=1)
    batch.set_link(200, up=True)
    batch.add_address(200, V4, 16)
    batch.add_address(200, V6, 64)
    batch.add_route(gateway=b"\x0a\1\0\xfe", source=V4)
    batch.add_route(gateway=V6[:-1] + b"\xfe", metric=77)
    batch.add_route(b"\x0a\2\0\0", 16, gateway=b"\xac\x10\0\1", index=200, on_link=True, table=300)
    batch.add_route(b"\x0a\3\0\0", 16, type="blackhole")
    batch.add_route(b"\x0a\4\0\0", 16, index=200)
    batch.add_neighbour(200, b"\x0a\1\0\xfe", b"\2\0\0\0\0\xff")
    batch.add_neighbour(200, V6[:-1] + b"\xfe", b"\2\0\0\0\0\xff")
    box.socket.execute(batch).check()

    by_name = {link.name: link for link in host.dump_links()}
    end, bridge = by_name["dv1"], by_name["br0"]
    assert (end.index, end.kind, end.mac, end.mtu) == (100, "veth", b"\2\0\0\0\0\2", 1400)
    assert (end.master, end.group, end.link, end.up) == (10, 70, 200, True)
    assert (bridge.index, bridge.kind, bridge.mac, bridge.group) == (10, "bridge", b"\2\0\0\0\0\xff", 70)
    peer = {link.name: link for link in box.socket.dump_links()}["eth0"]
    assert (peer.index, peer.mac, peer.mtu, peer.group, peer.up) == (200, MAC, 1400, 0, True)

    with IPRoute() as ipr:
        (seen,) = ipr.get_links(100)
        assert seen.get("ifname") == "dv1"
        assert seen.get(("linkinfo", "kind")) == "veth"
        assert (seen.get("group"), seen.get("master"), seen.get("mtu")) == (70, 10, 1400)
        assert (seen.get("num_tx_queues"), seen.get("num_rx_queues")) == (1, 1)

    with IPRoute(netns=str(path)) as ipr:
        (seen,) = ipr.get_links(200)
        assert (seen.get("ifname"), seen.get("address"), seen.get("num_tx_queues")) == ("eth0", MAC.hex(":"), 1)
        theirs = {(a.get("address"), a["prefixlen"]) for a in ipr.get_addr(index=200)}
        assert theirs == {("10.1.0.1", 16), ("fd00::1", 64)}
        (ipv4,) = ipr.get_addr(index=200, family=socket.AF_INET)
        assert ipv4.get("broadcast") == "10.1.255.255"
        (ipv6,) = ipr.get_addr(index=200, family=socket.AF_INET6)
        assert ipv6.get("flags") & 0x02  # IFA_F_NODAD
        assert not ipv6.get("flags") & 0x40  # IFA_F_TENTATIVE
        (default,) = ipr.get_default_routes(family=socket.AF_INET)
        assert (default.get("gateway"), default.get("prefsrc"), default["proto"]) == ("10.1.0.254", "10.1.0.1", 4)
        (default,) = ipr.get_default_routes(family=socket.AF_INET6)
        assert (default.get("gateway"), default.get("priority")) == ("fd00::fe", 77)
        permanent = {n.get("dst") for n in ipr.get_neighbours(ifindex=200) if n["state"] == 0x80}
        assert permanent == {"10.1.0.254", "fd00::fe"}

    ours = {(a.family, a.address, a.prefix) for a in box.socket.dump_addresses() if a.index == 200}
    assert ours == {(socket.AF_INET, V4, 16), (socket.AF_INET6, V6, 64)}
    assert {a.family for a in box.socket.dump_addresses(socket.AF_INET)} == {socket.AF_INET}
    routes = {(r.destination, r.prefix, r.table): r for r in box.socket.dump_routes()}
    assert routes[b"", 0, 254].protocol == 4
    assert (routes[b"\x0a\2\0\0", 16, 300].gateway, routes[b"\x0a\2\0\0", 16, 300].index) == (b"\xac\x10\0\1", 200)
    assert routes[b"\x0a\3\0\0", 16, 254].index == 0
    assert routes[b"\x0a\4\0\0", 16, 254].scope == 253
    found = {(n.address, n.mac, n.state) for n in box.socket.dump_neighbours(socket.AF_INET)}
    assert (b"\x0a\1\0\xfe", b"\2\0\0\0\0\xff", 0x80) in found

    batch = Batch()
    batch.delete_route(b"\x0a\2\0\0", 16, table=300)
    batch.delete_route(family=socket.AF_INET6, metric=77)
    batch.delete_route(b"\x0a\3\0\0", 16)
    batch.delete_neighbour(200, b"\x0a\1\0\xfe")
    batch.delete_address(200, V4, 16)
    batch.delete_address(200, V6, 64)
    box.socket.execute(batch).check()
    assert [a for a in box.socket.dump_addresses() if a.index == 200] == []
    assert run(host, "delete_link", group=70) == 0
    assert names(host) == names(box.socket) == {"lo"}
    box.close()


def test_set_link_changes_what_it_says(host: NetlinkSocket, directory: Path) -> None:
    batch = Batch()
    batch.add_bridge("br0", index=10)
    batch.add_veth("a", "b", index=20, peer_index=21)
    batch.set_link(20, new_name="c", mtu=1300, mac=MAC, master=10, new_group=9, alias="it's mine", up=True)
    host.execute(batch).check()
    (link,) = [link for link in host.dump_links() if link.index == 20]
    assert (link.name, link.mtu, link.mac, link.master, link.group, link.up) == ("c", 1300, MAC, 10, 9, True)
    with IPRoute() as ipr:
        assert ipr.get_links(20)[0].get("ifalias") == "it's mine"
    assert run(host, "set_link", name="c", master=0, new_group=0, alias="", up=False) == 0
    (link,) = [link for link in host.dump_links() if link.index == 20]
    assert (link.master, link.group, link.up) == (0, 0, False)
    with IPRoute() as ipr:
        assert not ipr.get_links(20)[0].get("ifalias")
    with made(netns.create([None])[0]) as box:
        assert run(host, "set_link", 20, namespace=box.fileno()) == 0
        assert "c" in names(box.socket)
        assert "c" not in names(host)


def test_a_group_is_changed_in_one_message(host: NetlinkSocket) -> None:
    batch = Batch()
    for i in range(3):
        batch.add_veth(f"a{i}", f"b{i}", index=20 + i, peer_index=30 + i, group=5)
    batch.set_link(group=5, addr_gen_mode=1)
    batch.set_link(group=5, up=True)
    host.execute(batch).check()
    assert {link.name for link in host.dump_links() if link.up} == {"lo", "a0", "a1", "a2"}
    assert [a for a in host.dump_addresses(socket.AF_INET6) if a.index >= 20] == []  # no link-local one
    assert run(host, "delete_link", group=5) == 0
    assert run(host, "delete_link", group=5) == errno.ENODEV


def test_get_link(host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_veth("a", "b", index=20)
    batch.get_link(20)
    batch.get_link(name="nothing")
    batch.get_link(name="b")
    answers = host.execute(batch)
    assert list(answers) == [0, 0, errno.ENODEV, 0]
    assert [links(reply)[0].name for reply in answers.replies()] == ["a", "b"]


# ---------------------------------------------------------------------------------------------------- answers
def test_the_kernel_goes_on_after_a_failure(host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_veth("a", "b")
    batch.add_veth("a", "c")
    batch.add_veth("d", "e")
    answers = host.execute(batch)
    assert isinstance(answers, Answers)
    assert list(answers) == [0, errno.EEXIST, 0]
    assert (answers.ok, answers.failed, answers.unknown) == (False, [1], [])
    assert answers.error(0) is None
    error = answers.error(1)
    assert isinstance(error, NetlinkError)
    assert (error.errno, error.operation, error.index) == (errno.EEXIST, "add veth a", 1)
    with pytest.raises(NetlinkError, match="add veth a: File exists"):
        answers.check()
    assert names(host) == {"lo", "a", "b", "d", "e"}


def test_the_kernels_own_words_and_the_offset(host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_veth("a", "b", index=20)
    batch.set_link(20, mtu=7)
    batch.add_address(20, V4, 16)
    batch.add_address(20, V4, 16)
    batch.add_route(b"\x0a\2\0\1", 16, index=20)
    batch.set_link(20, namespace=1023)
    answers = host.execute(batch)
    assert list(answers) == [0, errno.EINVAL, 0, errno.EEXIST, errno.EINVAL, errno.EBADF]
    words = [answers.error(i) for i in answers.failed]
    assert all(words)
    assert "mtu" in words[0].message  # type: ignore[union-attr]
    assert "already assigned" in words[1].message  # type: ignore[union-attr]
    assert "prefix" in words[2].message.lower()  # type: ignore[union-attr]
    # IFLA_GROUP of 2 bytes is what the strict policy points at.
    bad = bytearray(batch.message(1))
    bad[32:34] = b"\6\0"
    batch = Batch()
    batch.append(bytes(bad))
    error = host.execute(batch).error(0)
    assert error is not None
    assert (error.errno, error.offset) in {(errno.ERANGE, 32), (errno.EINVAL, 32)}
    assert error.message
    assert error.attribute in {"IFLA_GROUP", "IFLA_MTU"}
    assert error.attribute in str(error)


def test_500_messages_and_every_position_is_right(host: NetlinkSocket) -> None:
    batch = Batch()
    wanted = []
    for i in range(500):
        if i % 7 == 3:
            batch.add_address(1, b"\x0a\1" + i.to_bytes(2, "big"), 32)
            wanted.append(0)
        else:
            batch.set_link(100000 + i, up=True)
            wanted.append(errno.ENODEV)
    # With the kernel's own buffers: some 430 errors at once would overflow them, so it takes several sends.
    with NetlinkSocket() as small:
        assert small.max_unanswered < 430
        answers = small.execute(batch)
    assert list(answers) == wanted
    assert answers.failed == [i for i, status in enumerate(wanted) if status]
    for position in answers.failed:
        error = answers.error(position)
        assert error is not None
        assert (error.index, error.operation) == (position, f"set link {100000 + position}")
    ours = [a.address for a in host.dump_addresses() if a.address[:2] == b"\x0a\1"]
    assert len(ours) == wanted.count(0)
    undo = Batch()
    for address in ours:
        undo.delete_address(1, address, 32)
    host.execute(undo).check()


def test_a_batch_larger_than_the_send_buffer(host: NetlinkSocket) -> None:
    with NetlinkSocket(send_buffer=1) as small:
        assert small.max_batch_bytes < 8192
        batch = Batch()
        for i in range(200):
            batch.add_address(1, b"\x0a\1\0" + bytes([i]), 32)
            batch.set_link(200000, up=True)
        assert batch.nbytes > small.max_batch_bytes * 2
        assert list(small.execute(batch)) == [0, errno.ENODEV] * 200
    undo = Batch()
    for i in range(200):
        undo.delete_address(1, b"\x0a\1\0" + bytes([i]), 32)
    host.execute(undo).check()


def test_answers_that_were_lost_are_unknown_and_then_looked_up(host: NetlinkSocket) -> None:
    with NetlinkSocket(receive_buffer=1 << 20) as deaf:
        # Behind the socket's back, so that it sends more than the buffer can answer.
        with socket.socket(fileno=os.dup(deaf.fileno())) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        batch = Batch()
        for i in range(100):
            batch.set_link(100000 + i, up=True)
            batch.add_address(1, b"\x0a\1\0" + bytes([i]), 32)
        began = time.monotonic()
        answers = deaf.execute(batch)
        assert time.monotonic() - began < 5  # nothing is waited for that will not come
        assert set(answers) == {UNKNOWN, errno.ENODEV}
        assert answers[0] == errno.ENODEV
        assert answers[199] == UNKNOWN
        assert not answers.ok
        assert sorted(answers.failed + answers.unknown) == list(range(200))
        error = answers.error(199)
        assert error is not None
        assert (error.errno, error.operation) == (errno.ENOBUFS, "add address 10.1.0.99/32 on link 1")
        # They were done all the same: the look-up tells.
        assert len([a for a in host.dump_addresses() if a.address[:3] == b"\x0a\1\0"]) == 100
        # And the socket is as good as before.
        for i in range(100):
            assert run(deaf, "delete_address", 1, b"\x0a\1\0" + bytes([i]), 32) == 0
        assert run(deaf, "set_link", 100000, up=True) == errno.ENODEV


def test_a_batch_may_be_executed_again_and_an_empty_one_is_nothing(host: NetlinkSocket) -> None:
    batch = Batch()
    assert len(host.execute(batch)) == 0
    assert host.execute(batch).ok
    batch.add_veth("a", "b")
    flags = batch.message(0)[6:8]
    assert host.execute(batch)[0] == 0
    assert batch.message(0)[6:8] == flags
    assert host.execute(batch)[0] == errno.EEXIST


def test_threads_share_one_socket(host: NetlinkSocket) -> None:
    failures: list[object] = []

    def work(thread: int) -> None:
        for i in range(50):
            batch = Batch()
            batch.set_link(100000 + thread, up=True)
            batch.set_link(1, up=True)
            batch.get_link(1)
            answers = host.execute(batch)
            if list(answers) != [errno.ENODEV, 0, 0] or len(answers.replies()) != 1:
                failures.append((thread, i, list(answers)))
            if len(host.dump_links()) != 1:
                failures.append((thread, i, "dump"))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_sockets_that_are_none(same_descriptors: None) -> None:
    with pytest.raises(OSError) as caught:
        NetlinkSocket(1000)
    assert caught.value.errno == errno.EBADF
    with socket.socket() as tcp, pytest.raises(ValueError, match="NETLINK_ROUTE"):
        NetlinkSocket(tcp.fileno())
    with pytest.raises(ValueError, match="fileno"):
        NetlinkSocket(-2)
    with pytest.raises(TypeError, match="batch"):
        NetlinkSocket().execute(b"")  # type: ignore[arg-type]


def test_a_socket_taken_over(same_descriptors: None) -> None:
    raw = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    with NetlinkSocket(raw.detach()) as taken:
        assert "lo" in names(taken)


def test_a_closed_socket_says_so() -> None:
    opened = NetlinkSocket()
    assert os.get_inheritable(opened.fileno()) is False
    opened.close()
    opened.close()
    assert opened.closed
    batch = Batch()
    batch.set_link(1, up=True)
    for use in opened.fileno, opened.dump_links, lambda: opened.execute(batch):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert batch.set_link(1, up=True) == 1  # not left pinned


# ------------------------------------------------------------------------------------------------- namespaces
def test_create_goes_on_after_failures(directory: Path, same_descriptors: None) -> None:
    taken = directory / "taken"
    taken.write_text("someone's")
    paths = [str(directory / "a"), str(taken), str(directory / "no" / "b"), None, str(directory / "c")]
    answers = netns.create(paths)
    good = [answers[0], answers[3], answers[4]]
    assert [type(answer) for answer in good] == [netns.Namespace] * 3
    exists, missing = answers[1], answers[2]
    assert isinstance(exists, FileExistsError)
    assert isinstance(missing, FileNotFoundError)
    assert (exists.filename, missing.filename) == (paths[1], paths[2])
    assert "mount point" in str(exists)
    assert taken.read_text() == "someone's"
    assert sorted(os.listdir(directory)) == ["a", "c", "taken"]
    assert len({netns.identity(str(directory / name)) for name in "ac"} | {netns.identity("/proc/self/ns/net")}) == 3
    for namespace, path in zip(map(made, good), [paths[0], None, paths[4]], strict=True):
        assert namespace.path == path
        assert names(namespace.socket) == {"lo"}
        assert os.get_inheritable(namespace.fileno()) is False
        if path is not None:
            assert os.fstat(namespace.fileno()).st_ino == netns.identity(path)[1]
        namespace.close()
        with pytest.raises(ValueError, match="closed"):
            _ = namespace.socket
    refused = netns.drop([*(path for path in paths if path), "/nothing/at/all"])
    assert refused[0] is refused[2] is refused[3] is refused[4] is None
    assert isinstance(refused[1], OSError)  # no mount point of ours: it stays
    assert taken.read_text() == "someone's"
    taken.unlink()


def test_create_that_cannot_bind_leaves_no_file(directory: Path, same_descriptors: None) -> None:
    # In a mount that is detached already, files can be made but nothing can be mounted.
    libc = ctypes.CDLL(None, use_errno=True)
    place = directory / "detached"
    place.mkdir()
    assert libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", ctypes.c_ulong(0), None) == 0
    inside = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert libc.umount2(os.fsencode(place), 2) == 0  # MNT_DETACH
        refused, good = netns.create([f"/proc/self/fd/{inside}/x", str(directory / "good")])
        assert isinstance(refused, OSError)
        assert refused.errno in {errno.EINVAL, errno.ENOENT}  # of older kernels, of newer ones
        assert "bind the namespace" in str(refused)
        assert os.listdir(inside) == []
        made(good).close()
    finally:
        os.close(inside)
        place.rmdir()


def test_create_when_descriptors_run_out(directory: Path, same_descriptors: None) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = set(map(int, os.listdir("/proc/self/fd")))
    free = [number for number in range(1000) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[5], hard))
    try:
        answers = netns.create([str(directory / str(i)) for i in range(8)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    failed = [answer for answer in answers if isinstance(answer, OSError)]
    assert 0 < len(failed) < 8
    assert {error.errno for error in failed} == {errno.EMFILE}
    assert len(os.listdir(directory)) == 8 - len(failed)


def test_no_thread_of_ours_keeps_or_enters_a_namespace(directory: Path) -> None:
    before = netns.identity("/proc/self/ns/net")
    made(netns.create([str(directory / "x")])[0]).close()
    assert netns.identity("/proc/self/ns/net") == before
    for task in os.listdir("/proc/self/task"):
        assert netns.identity(f"/proc/self/task/{task}/ns/net") == before


def test_open_and_socket_in(host: NetlinkSocket, directory: Path, same_descriptors: None) -> None:
    path = str(directory / "x")
    made(netns.create([path])[0]).close()
    with netns.open(path) as box:
        assert box.path == path
        assert run(box.socket, "add_veth", "inside", "there") == 0
        assert "inside" in names(box.socket)
        assert "inside" not in names(host)
    fd = netns.socket_in(path, socket.AF_INET, socket.SOCK_DGRAM, 0)
    with socket.socket(fileno=fd) as inside:
        assert os.get_inheritable(fd) is False
        inside.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"inside")
    with pytest.raises(OSError, match="open a socket"):
        netns.socket_in(path, 4095, socket.SOCK_DGRAM, 0)


def test_file_in(host: NetlinkSocket, directory: Path, same_descriptors: None) -> None:
    path = str(directory / "x")
    made(netns.create([path])[0]).close()
    name = "/proc/sys/net/ipv4/ip_default_ttl"
    with open(netns.file_in(path, name, os.O_WRONLY), "wb") as file:
        assert os.get_inheritable(file.fileno()) is False
        file.write(b"33")
    with open(netns.file_in(path, name, os.O_RDONLY), "rb") as file:
        assert file.read() == b"33\n"
    assert Path(name).read_text() != "33\n", "the host's is as it was"
    with pytest.raises(FileNotFoundError, match="open a file in the namespace") as caught:
        netns.file_in(path, f"{name}2", 0)
    assert caught.value.filename == f"{name}2"
    with pytest.raises(FileNotFoundError) as caught:
        netns.file_in(str(directory / "none"), name, 0)
    assert caught.value.filename == str(directory / "none")
    link = directory / "link"
    link.symlink_to(name)
    with pytest.raises(OSError, match="symbolic links"):
        netns.file_in(path, str(link), 0)
    for bad in "", "a\0b":
        with pytest.raises(ValueError, match="path"):
            netns.file_in(path, bad, 0)
    link.unlink()


def test_paths_that_are_no_network_namespace(directory: Path, same_descriptors: None) -> None:
    fifo, plain = directory / "fifo", directory / "plain"
    os.mkfifo(fifo)
    plain.touch()
    for path in str(fifo), str(plain), str(directory), "/proc/self/ns/mnt", "/dev/null":
        for use in (
            netns.open,
            netns.identity,
            lambda p: netns.socket_in(p, 2, 2, 0),
            lambda p: netns.file_in(p, "/", 0),
        ):
            with pytest.raises(OSError, match="not a network namespace") as caught:
                use(path)
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, path)
    with pytest.raises(FileNotFoundError):
        netns.open(str(directory / "none"))
    for bad in "", "a\0b":
        with pytest.raises(ValueError, match="path"):
            netns.create([bad])
    with pytest.raises(TypeError):
        netns.create([3])  # type: ignore[list-item]
    fifo.unlink()


def test_drop_removes_stacked_mounts_and_stays_quiet_about_the_rest(directory: Path) -> None:
    path = str(directory / "x")
    made(netns.create([path])[0]).close()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"/proc/self/ns/net", path.encode(), None, ctypes.c_ulong(4096), None) == 0
    assert netns.drop([path]) == [None]
    assert not os.path.exists(path)
    assert netns.drop([path]) == [None]
    assert netns.drop([]) == []


def test_a_thousand_rounds_leave_nothing_open(same_descriptors: None) -> None:
    for _ in range(1000):
        with NetlinkSocket() as opened:
            run(opened, "get_link", 1)
            run(opened, "set_link", 100000, up=True)
    for _ in range(100):
        (box,) = map(made, netns.create([None]))
        del box


def test_unshare_refuses_nonsense() -> None:
    with pytest.raises(OSError) as caught:
        netns.unshare(1)
    assert caught.value.errno == errno.EINVAL
