"""Prefixes that the host has routes to, and its name servers, are not given to networks unless their user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket
from driverapi import Controller, errors
from driverapi.ipam import wishes


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


def test_name_servers_are_in_the_way(tmp_path: Path, host: NetlinkSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_bytes(
        b"# x\nnameserver 10.8.0.53\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\nnameserver\nnameserver x\n"
    )
    monkeypatch.setattr(wishes, "_RESOLV_CONF", str(conf))
    with Controller(run_dir=tmp_path / "run") as ctl:
        with pytest.raises(errors.ConflictError, match=r"overlaps the host's name server 10\.8\.0\.53/32"):
            ctl.create_network("bridge", "web", ipv4="10.8.0.0/24")
        ctl.create_network("bridge", "web", ipv4="10.8.1.0/24")
        ctl.create_network("bridge", "lo", ipv4="10.8.2.0/24")
