"""The files of sandboxes: over a dataplane in memory, with real files."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from driverapi import Controller, JoinInfo, Sandbox, Services, errors, paths
from driverapi.events import problems
from driverapi.network import Network
from driverapi.services import files as sandboxfiles
from driverapi.services import hostresolver, hosts, resolvconf
from driverapi.testing import FakeDataplane
from tests.support import World

HOST = "nameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch host.example\noptions edns0\n"


@pytest.fixture(autouse=True)
def host_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "host-resolv.conf"
    path.write_text(HOST)
    monkeypatch.setattr(hostresolver, "_HOST", str(path))
    return path


@pytest.fixture
def web(world: World) -> Network:
    return world.ctl.create_network("bridge", "web", ipv4="10.1.0.0/16", ipv6="fd01::/64")


def text(box: Sandbox, what: str = "hosts") -> str:
    path = box.hosts_path if what == "hosts" else box.resolv_conf_path
    assert path is not None
    return Path(path).read_text()


def join(net: Network, name: str, box: Sandbox, **arguments: Any) -> None:
    net.create_endpoint(name, **arguments).join(box)


def wait_until(true: Callable[[], bool], timeout: float = 5.0) -> None:
    until = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.01)


def writes(box: Sandbox) -> int:
    assert box._files is not None
    return box._files.writes


def test_who_asks_for_none_has_none(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box")
    join(web, "one", box)
    assert box.hosts_path is box.resolv_conf_path is None
    with pytest.raises(errors.InvalidError, match="'box' has no files: make it with services=True"):
        box.refresh()


def test_the_files_are_there_with_the_sandbox_and_go_with_it(world: World) -> None:
    before = os.umask(0o077)
    try:
        box = world.ctl.create_sandbox("box", services=True)
    finally:
        os.umask(before)
    paths = [Path(box.hosts_path or ""), Path(box.resolv_conf_path or "")]
    assert [path.name for path in paths] == ["hosts", "resolv.conf"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in [*paths, paths[0].parent]] == [0o644, 0o644, 0o755]
    assert sorted(os.listdir(paths[0].parent)) == ["hosts", "resolv.conf"]
    box.delete()
    assert not paths[0].parent.exists()
    assert box.hosts_path is None


def test_the_sandbox_itself_and_its_peers_have_their_names(world: World, web: Network) -> None:
    front = world.ctl.create_network("bridge", "front", ipv4="10.2.0.0/24")
    services = Services(hostname="me", domain="example.org", extra_hosts={"db": ["10.9.9.9", "fd09::9"]})
    box = world.ctl.create_sandbox("box", services=services)
    peer = world.ctl.create_sandbox("peer", services=Services(hostname="p-host"))
    join(web, "web1", box, ipv4="10.1.0.11", ipv6="fd01::11")
    join(front, "front1", box, ipv4="10.2.0.11")
    join(web, "web2", peer, ipv4="10.1.0.12", ipv6="fd01::12")
    join(front, "other", world.ctl.create_sandbox("other"), ipv4="10.2.0.13")
    web.create_endpoint("idle", ipv4="10.1.0.14")
    web.notice_endpoint("far", ipv4="10.1.0.15")
    wait_until(lambda: bool(hosts.lookup(text(box), "far")))
    found = text(box)
    assert hosts.lookup(found, "db") == ["10.9.9.9", "fd09::9"]
    own = [entry for entry in hosts.parse(found) if entry.names[:2] == ("me.example.org", "me")]
    assert [entry.ip for entry in own] == ["10.2.0.11", "10.1.0.11", "fd01::11"]
    assert own[0].names[2:] == ("front1", "front1.front")
    assert hosts.lookup(found, "web2.web") == hosts.lookup(found, "p-host") == ["10.1.0.12", "fd01::12"]
    assert hosts.lookup(found, "other.front") == ["10.2.0.13"]
    assert hosts.lookup(found, "far.web") == ["10.1.0.15"]
    assert hosts.lookup(found, "idle") == []
    assert hosts.lookup(text(peer), "other") == [], "it is on another network"


def test_who_leaves_is_gone_from_the_files(world: World, web: Network) -> None:
    box, peer = world.ctl.create_sandbox("box", services=True), world.ctl.create_sandbox("peer")
    join(web, "one", box)
    join(web, "two", peer)
    wait_until(lambda: hosts.lookup(text(box), "two") != [])
    web.endpoint("two").leave()
    wait_until(lambda: hosts.lookup(text(box), "two") == [])
    web.endpoint("one").leave()
    assert hosts.lookup(text(box), "one") == hosts.lookup(text(box), "box") == [], "its own: at once"


def test_its_own_lines_are_there_when_the_join_returns(world: World, web: Network) -> None:
    web.attach(3)
    box = world.ctl.create_sandbox("box", services=True)
    join(web, "one", box, ipv4="10.1.0.11")
    found = text(box)
    assert hosts.lookup(found, "box")[0] == "10.1.0.11"
    assert all(hosts.lookup(found, endpoint.name) for endpoint in web.endpoints), "and those who were there before"


def test_a_burst_of_a_thousand_is_one_write(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    join(web, "one", box)
    wait_until(lambda: world.ctl._files._thread is None)
    before = writes(box)
    endpoints = web.attach(1000, strict=True)
    wait_until(lambda: writes(box) > before)
    wait_until(lambda: world.ctl._files._thread is None)
    assert writes(box) == before + 1
    found = text(box)
    assert len(hosts.parse(found)) == len(hosts.LOCAL) + 2 * 1001
    assert hosts.lookup(found, endpoints[-1].name)
    web.detach(endpoints)
    wait_until(lambda: world.ctl._files._thread is None)
    assert writes(box) == before + 2


def test_many_calls_in_a_row_are_few_writes(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    join(web, "one", box)
    wait_until(lambda: world.ctl._files._thread is None)
    before = writes(box)
    began = time.monotonic()
    for _ in range(200):
        web.attach(1)
    bursts = 1 + (time.monotonic() - began) / sandboxfiles.QUIET  # a machine may be slow between two calls
    wait_until(lambda: world.ctl._files._thread is None)
    assert writes(box) - before <= bursts
    assert len(hosts.parse(text(box))) == len(hosts.LOCAL) + 2 * 201


def test_sandboxes_without_files_cost_no_thread(world: World, web: Network) -> None:
    web.attach(10)
    assert world.ctl._files._thread is None
    assert not world.ctl._files._dirty


def test_endpoints_out_of_a_warm_pool_are_seen_when_they_are_taken(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    join(web, "one", box)
    world.ctl.warm(web, 1)
    wait_until(lambda: world.ctl._files._thread is None)
    assert len(hosts.parse(text(box))) == len(hosts.LOCAL) + 2
    [endpoint] = web.attach(1)
    wait_until(lambda: hosts.lookup(text(box), endpoint.name) != [])
    world.ctl.warm(web, 0)


def test_what_its_user_edits_stays(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    for path, line in ((box.hosts_path, "1.2.3.4 mine\n"), (box.resolv_conf_path, "nameserver 1.2.3.4\n")):
        assert path is not None
        with open(path, "a") as file:
            file.write(line)
    edited = text(box, "resolv.conf")
    join(web, "one", box)
    assert text(box).endswith(f"{hosts.END}1.2.3.4 mine\n")
    assert hosts.lookup(text(box), "one") != []
    assert text(box, "resolv.conf") == edited
    assert box.hosts_path is not None
    Path(box.hosts_path).write_text("1.2.3.4 all-mine\n")
    join(web, "two", world.ctl.create_sandbox("peer"))
    box.refresh()
    assert text(box) == "1.2.3.4 all-mine\n"
    os.unlink(box.hosts_path)
    box.refresh()
    assert hosts.lookup(text(box), "two") != [], "a file that is gone is made anew"


def test_the_resolver_is_told_what_the_host_is_told(world: World, web: Network, host_file: Path) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    expected = resolvconf.ResolvConf(("192.0.2.1",), ("host.example",), ("edns0",))
    assert resolvconf.parse(text(box, "resolv.conf")) == expected
    host_file.write_text("nameserver 2001:db8::1\nnameserver 127.0.0.1\n")
    box.refresh()
    assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("8.8.8.8", "8.8.4.4")
    join(web, "one", box)
    assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("2001:db8::1",), "it has IPv6 now"
    host_file.unlink()
    box.refresh()
    assert resolvconf.parse(text(box, "resolv.conf")) == resolvconf.ResolvConf(("8.8.8.8", "8.8.4.4"))


def test_a_sandbox_of_ipv6_alone_is_told_of_servers_of_ipv6(world: World, host_file: Path) -> None:
    host_file.write_text("nameserver 192.0.2.1\nnameserver 2001:db8::1\n")
    box = world.ctl.create_sandbox("box", services=True)
    assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("192.0.2.1",)
    join(world.ctl.create_network("bridge", "six", ipv6="fd06::/64"), "one", box)
    assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("2001:db8::1",)


def test_behind_systemds_resolver_its_own_servers_are_taken(
    world: World, host_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = tmp_path / "behind"
    behind.write_text("nameserver 192.0.2.77\n")
    monkeypatch.setattr(hostresolver, "_BEHIND_STUB", str(behind))
    host_file.write_text("nameserver 127.0.0.53\n")
    box = world.ctl.create_sandbox("box", services=True)
    assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("192.0.2.77",)


def test_the_resolver_is_told_what_its_user_says(world: World) -> None:
    services = Services(dns=["127.0.0.1", "fd00::1"], dns_search=["a.example"], dns_options=["ndots:2"])
    box = world.ctl.create_sandbox("box", services=services)
    said = resolvconf.ResolvConf(("127.0.0.1", "fd00::1"), ("a.example",), ("ndots:2",))
    assert resolvconf.parse(text(box, "resolv.conf")) == said
    none = world.ctl.create_sandbox("none", services=Services(dns_search=["."], dns_fallback=["192.0.2.9"]))
    assert resolvconf.parse(text(none, "resolv.conf")).search == ()


def test_a_drivers_own_files_go_before_ours(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def declare(network_id: str, endpoint_id: str, sandbox_key: str, info: JoinInfo, options: Any) -> None:
        info.set_hosts_path("/theirs/hosts")
        info.set_resolv_conf_path("/theirs/resolv.conf")

    monkeypatch.setattr(world.own_driver, "join", declare)
    own = world.ctl.create_network("own", "own")
    box = world.ctl.create_sandbox("box")
    endpoint = own.create_endpoint("one")
    endpoint.join(box)
    assert (box.hosts_path, box.resolv_conf_path) == ("/theirs/hosts", "/theirs/resolv.conf")
    endpoint.leave()
    assert box.hosts_path is None


def test_a_link_in_the_place_of_a_file_is_not_followed(world: World, web: Network, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    for in_place in (False, True):
        box = world.ctl.create_sandbox(f"box{in_place}", services=Services(in_place=in_place))
        assert box.hosts_path is not None
        assert box.resolv_conf_path is not None
        for path in (box.hosts_path, box.resolv_conf_path):
            os.unlink(path)
        os.symlink(victim, box.hosts_path)
        os.mkfifo(box.resolv_conf_path)
        join(web, f"one{in_place}", box)
        assert victim.read_text() == "as it was"
        assert hosts.lookup(text(box), f"one{in_place}") != []
        assert not Path(box.hosts_path).is_symlink()
        assert resolvconf.is_ours(text(box, "resolv.conf"))


def test_a_link_in_the_place_of_the_directory_is_not_followed(world: World, web: Network, tmp_path: Path) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    directory = Path(box.hosts_path or "").parent
    directory.rename(tmp_path / "moved")
    directory.symlink_to(tmp_path)
    before = problems().get("sandbox.files_failed", 0)
    join(web, "one", box)
    assert not (tmp_path / "hosts").exists()
    assert problems()["sandbox.files_failed"] == before + 1
    with pytest.raises(errors.KernelError, match="sandbox 'box': write"):
        box.refresh()
    directory.unlink()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_reader_sees_the_old_file_or_the_new_one(world: World, web: Network, in_place: bool) -> None:
    box = world.ctl.create_sandbox("box", services=Services(in_place=in_place))
    assert box.hosts_path is not None
    inode = os.stat(box.hosts_path).st_ino
    with open(box.hosts_path) as mounted:
        join(web, "one", box)
        assert (os.stat(box.hosts_path).st_ino == inode) is in_place
        assert (hosts.lookup(mounted.read(), "one") != []) is in_place


def test_a_file_that_is_too_long_to_be_one_is_left_alone(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    assert box.hosts_path is not None
    with open(box.hosts_path, "r+") as file:
        file.truncate(2 << 20)
    join(web, "one", box)
    assert os.stat(box.hosts_path).st_size == 2 << 20


def test_files_that_cannot_be_made_undo_the_sandbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths, "write_all", full)
    before = world.state()
    with pytest.raises(errors.KernelError, match=r"sandbox 'box': write .*: No space left on device") as caught:
        world.ctl.create_sandbox("box", services=True)
    assert caught.value.errno == 28
    assert world.state() == before
    assert not world.ctl._files._served
    assert os.listdir(world.ctl._files._temporary or "") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostname": "a b"},
        {"hostname": 7},
        {"domain": "a..b"},
        {"extra_hosts": {"a b": "10.0.0.1"}},
        {"extra_hosts": {"a": "10.0.0.1/8"}},
        {"extra_hosts": ["a"]},
        {"extra_hosts": ["a:10.0.0"]},
        {"extra_hosts": "a:10.0.0.1"},
        {"extra_hosts": 7},
        {"dns": ["a"]},
        {"dns": "192.0.2.1"},
        {"dns_fallback": ["a"]},
        {"dns_search": ["a b"]},
        {"dns_options": ["a\nb"]},
        {"in_place": "yes"},
    ],
)
def test_wrong_services_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidError, match=next(iter(wrong))):
        Services(**wrong)


@pytest.mark.parametrize("wrong", [7, "yes", {"hostname": "a"}, [True]])
def test_no_services_are_refused(world: World, wrong: Any) -> None:
    with pytest.raises(errors.InvalidError, match="neither True nor Services"):
        world.ctl.create_sandbox("box", services=wrong)
    assert not world.ctl.sandboxes


def test_extra_hosts_as_text() -> None:
    services = Services(extra_hosts=["a:10.0.0.1", "b:[fd00::1]", "c:fd00::2"])
    assert [(one.ip, one.names) for one in services.entries] == [
        ("10.0.0.1", ("a",)),
        ("fd00::1", ("b",)),
        ("fd00::2", ("c",)),
    ]
    assert Services(**services.kept()) == services


def test_a_sandbox_whose_name_is_no_host_name_has_none(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("a box", services=True)
    join(web, "an endpoint", box)
    assert len(hosts.parse(text(box))) == len(hosts.LOCAL)


def test_the_thread_is_waited_for_at_the_end(world: World, web: Network) -> None:
    box = world.ctl.create_sandbox("box", services=True)
    join(web, "one", box)
    place = world.ctl._files._temporary
    assert place is not None
    web.attach(5)
    world.ctl.close()
    assert not any(thread.name == "driverapi-files" for thread in threading.enumerate())
    assert not Path(place).exists()


# --- with state ----------------------------------------------------------------------------------


@pytest.fixture
def again(tmp_path: Path) -> Iterator[Callable[[], Controller]]:
    dataplane, made = FakeDataplane(), []

    def start() -> Controller:
        made.append(Controller(state=tmp_path / "state.db", dataplane=dataplane))
        return made[-1]

    yield start
    for ctl in made:
        ctl.close()


def test_they_are_there_again_with_a_state(again: Callable[[], Controller]) -> None:
    with again() as ctl:
        net = ctl.create_network("bridge", "web", ipv4="10.1.0.0/24")
        services = Services(hostname="me", extra_hosts=["db:10.9.9.9"], dns=["192.0.2.5"])
        join(net, "one", ctl.create_sandbox("box", services=services))
        ctl.create_sandbox("bare")
    with again() as ctl:
        box = ctl.sandbox("box")
        assert hosts.lookup(text(box), "me") == ["10.1.0.2"]
        assert hosts.lookup(text(box), "db") == ["10.9.9.9"]
        assert resolvconf.parse(text(box, "resolv.conf")).nameservers == ("192.0.2.5",)
        assert ctl.sandbox("bare").hosts_path is None
        join(ctl.network("web"), "two", ctl.sandbox("bare"))
        wait_until(lambda: hosts.lookup(text(box), "two") == ["10.1.0.3"])
