"""Prefixes that the host has routes to, and its name servers, are not given to networks unless their user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, errors
from driverapi.services import hostresolver


def test_the_hosts_routes_are_in_the_way(tmp_path: Path, host: NetlinkSocket) -> None:
    batch = Batch()
    batch.add_bridge("lan", index=77)
    batch.set_link(77, up=True)
    batch.add_address(77, bytes([10, 9, 0, 1]), 24)
    batch.add_route(bytes([172, 17, 0, 0]), 16, index=77)
    assert host.execute(batch).ok
    with Controller(run_dir=tmp_path) as ctl:
        with pytest.raises(errors.ConflictError, match=r"10\.9\.0\.0/16 overlaps the host's route to 10\.9\.0\.0/24"):
            ctl.create_network("bridge", "web", ipv4="10.9.0.0/16")
        assert ctl.networks == []
        assert str(ctl.create_network("bridge", "any").ipv4) == "172.18.0.0/16"
        ctl.create_network("bridge", "web", ipv4="10.9.0.0/16", allow_overlap=True)
        chosen = ctl.create_network("bridge", "chosen", ipv6="fd77::/64", ipv4="0.0.0.0/16", allow_overlap=True)
        assert str(chosen.ipv4) == "172.19.0.0/16", "only what is named may overlap"


def test_a_default_route_in_parts_is_not_in_the_way(tmp_path: Path, host: NetlinkSocket) -> None:
    """A VPN has 0.0.0.0/1 and 128.0.0.0/1 go before the default route, which stays; 2000::/3 is one of IPv6."""
    batch = Batch()
    batch.add_bridge("lan", index=77)
    batch.set_link(77, up=True)
    for part in (0, 128):
        batch.add_route(bytes([part, 0, 0, 0]), 1, index=77)
    batch.add_route(b"\x20" + bytes(15), 3, index=77)
    batch.add_route(bytes([172, 16, 0, 0]), 15, index=77)
    assert host.execute(batch).ok
    with Controller(run_dir=tmp_path) as ctl:
        any_ = ctl.create_network("bridge", "any", ipv4="0.0.0.0/16", ipv6="2001:db8::/64")
        assert str(any_.ipv4) == "172.18.0.0/16"


def test_name_servers_are_in_the_way(tmp_path: Path, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(
        b"# x\nnameserver 10.8.0.53\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\nnameserver\nnameserver x\n"
    )
    monkeypatch.setattr(hostresolver, "_HOST", str(conf))
    with Controller(run_dir=tmp_path / "run") as ctl:
        with pytest.raises(errors.ConflictError, match=r"overlaps the host's name server 10\.8\.0\.53/32"):
            ctl.create_network("bridge", "web", ipv4="10.8.0.0/24")
        ctl.create_network("bridge", "web", ipv4="10.8.1.0/24")
        ctl.create_network("bridge", "lo", ipv4="10.8.2.0/24")


def test_name_servers_behind_systemds_resolver_are_in_the_way(
    tmp_path: Path, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, behind = tmp_path / "stub", tmp_path / "behind"
    stub.write_text("nameserver 127.0.0.53\n")
    behind.write_text("nameserver 172.17.0.53\nnameserver fd77::53\n")
    monkeypatch.setattr(hostresolver, "_HOST", str(stub))
    monkeypatch.setattr(hostresolver, "_BEHIND_STUB", str(behind))
    with Controller(run_dir=tmp_path / "run") as ctl:
        assert str(ctl.create_network("bridge", "any").ipv4) == "172.18.0.0/16"
        with pytest.raises(errors.ConflictError, match="overlaps the host's name server fd77::53/128"):
            ctl.create_network("bridge", "web", ipv6="fd77::/64")
