"""Traces of what the real kernel was asked: as text, and as captures read back by us and by tshark."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from _fastnet import netns
from _fastnet.batch import Batch
from _fastnet.socket import NetlinkSocket, observer
from driverapi import trace
from driverapi.cli.group import group
from driverapi.testing import traced


def three() -> Batch:
    batch = Batch()
    batch.add_veth("a", "b", index=20)
    batch.set_link(20, mtu=7)
    batch.set_link(1000, up=True)
    return batch


def test_text_names_the_namespace_each_message_and_its_end(host: NetlinkSocket) -> None:
    (box,) = netns.create(["/run/box"])
    assert isinstance(box, netns.Namespace)
    with traced() as text:
        host.execute(three())
        box.socket.execute(three())
        box.socket.dump_links()
    host.execute(three())  # nobody looks
    inside, here = os.fstat(box.fileno()).st_ino, os.stat("/proc/self/ns/net").st_ino
    box.close()
    netns.drop(["/run/box"])
    lines = text.getvalue().splitlines()
    assert len(lines) == 10
    assert f" net:[{here}] host: 3 messages in 1 datagrams" in lines[0]
    assert f" net:[{inside}] /run/box: 3 messages" in lines[4]
    assert lines[1].startswith("    0: add veth a index 20")
    assert lines[1].endswith(": done")
    assert "    1: set link 20" in lines[2]
    assert "Invalid argument (" in lines[2]
    assert lines[3] == f"    2: set link 1000 up: {os.strerror(errno.ENODEV)}"
    assert lines[9] == "    dump links: 3 links, 1 done"
    assert observer is None


def read_pcap(path: Path) -> list[tuple[int, int, bytes]]:
    """Give (direction, namespace, datagram) of each packet."""
    raw = path.read_bytes()
    assert struct.unpack_from("=IHHiIII", raw) == (0xA1B23C4D, 2, 4, 0, 0, 262144, 253)
    found, at = [], 24
    while at < len(raw):
        seconds, nanoseconds, kept, size = struct.unpack_from("=IIII", raw, at)
        assert seconds > 1_600_000_000
        assert nanoseconds < 1_000_000_000
        assert kept == size
        direction, arphrd, length, namespace, family = struct.unpack_from(">HHHQH", raw, at + 16)
        assert (arphrd, length, family) == (824, 8, 0)
        found.append((direction, namespace, raw[at + 32 : at + 16 + kept]))
        at += 16 + kept
    assert at == len(raw)
    return found


def test_a_capture_holds_each_datagram(host: NetlinkSocket, tmp_path: Path) -> None:
    batch = three()
    with trace.to(tmp_path / "x.pcap"), trace.to(tmp_path / "x.pcapng"):
        host.execute(batch)
        host.dump_links()
    packets = read_pcap(tmp_path / "x.pcap")
    assert {namespace for _, namespace, _ in packets} == {os.stat("/proc/self/ns/net").st_ino}
    assert [direction for direction, _, _ in packets[:4]] == [7, 6, 6, 7]
    assert len(packets[0][2]) == batch.nbytes
    assert packets[0][2][:8] == bytes(batch)[:8]
    errors = [struct.unpack_from("=i", data, 16)[0] for _, _, data in packets[1:3]]
    assert errors == [-errno.EINVAL, -errno.ENODEV]
    if shutil.which("tshark") is None:
        return  # our own reader has read it
    for name in ("x.pcap", "x.pcapng"):
        run = subprocess.run(
            [
                "tshark",
                "-r",
                str(tmp_path / name),
                "-T",
                "fields",
                "-e",
                "frame.protocols",
                "-e",
                "frame.interface_name",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split("\t") for line in run.stdout.splitlines()]
        assert len(rows) == len(packets)
        assert all(row[0].startswith("netlink") for row in rows)
        if name == "x.pcapng":
            assert {row[1] for row in rows} == {f"net:[{os.stat('/proc/self/ns/net').st_ino}]"}


def test_traces_that_cannot_be_written(host: NetlinkSocket, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        trace.to(tmp_path / "no" / "x.txt")
    going = trace.to("/dev/full")
    assert list(host.execute(three())) == [0, errno.EINVAL, errno.ENODEV]
    assert isinstance(going.error, OSError)
    with pytest.raises(OSError, match="No space"):
        going.close()
    going.close()


def test_a_child_process_is_not_traced(host: NetlinkSocket) -> None:
    text = io.StringIO()
    with trace.to(text):
        child = os.fork()
        if child == 0:
            host.dump_links()
            os._exit(1 if text.getvalue() else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_demos_option() -> None:
    run = CliRunner().invoke(group, ["demo", "--trace", "-", "--json"])
    assert (run.exit_code, "--trace - and --json" in run.output) == (2, True)
    run = CliRunner().invoke(group, ["demo", "--trace", "/no/such/directory/x.txt"])
    assert (run.exit_code, "No such file" in run.output) == (2, True)
