"""Where an engine finds a plugin: sockets, TCP with TLS, spec files; and the command that serves."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from driverapi import errors
from driverapi.cli import main as _main  # noqa: F401 - the extra is installed
from driverapi.cli.serve import serve
from driverapi.plugin import Plugin, Tls, write_spec
from driverapi.plugin.sockets import UnixListener
from driverapi.store.contract import State
from driverapi.store.sqlite import SqliteStore
from driverapi.testing import FakeDataplane
from tests.plugins import make_authority


@pytest.fixture
def plugin() -> Iterator[Plugin]:
    made = Plugin("null", dataplane=FakeDataplane())
    yield made
    made.close()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def health(path: Path) -> dict[str, object]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        data = b""
        while more := client.recv(65536):
            data += more
    found: dict[str, object] = json.loads(data.partition(b"\r\n\r\n")[2])
    return found


def test_a_socket_from_its_making_to_its_end(plugin: Plugin, tmp_path: Path) -> None:
    """Mode 0600 from the first moment, its directory made, gone with the plugin."""
    before = os.umask(0)
    try:
        path = plugin.listen(tmp_path / "new" / "plugins" / "p.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o022 == 0
    assert health(path)["Driver"] == "null"
    plugin.close()
    assert not path.exists()


def test_several_sockets(plugin: Plugin, tmp_path: Path) -> None:
    paths = [plugin.listen(tmp_path / f"{name}.sock") for name in "ab"]
    assert [health(path)["Status"] for path in paths] == ["ok", "ok"]


def test_a_stale_socket_is_replaced(plugin: Plugin, tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    assert plugin.listen(path) == path
    assert health(path)["Status"] == "ok"


def test_a_live_socket_is_refused(plugin: Plugin, tmp_path: Path) -> None:
    path = plugin.listen(tmp_path / "p.sock")
    with Plugin("null", dataplane=FakeDataplane()) as second, pytest.raises(errors.ConflictError, match="listens on"):
        second.listen(path)
    assert health(path)["Status"] == "ok"  # and the second has not removed it


def test_who_starts_at_the_same_time_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "p.sock"
    made: list[UnixListener] = []
    refused: list[Exception] = []
    start = threading.Barrier(8)

    def listen() -> None:
        start.wait()
        try:
            made.append(UnixListener(path))
        except errors.ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=listen) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    made[0].remove()
    made[0].socket.close()
    assert not path.exists()


def test_what_is_no_socket_is_left_alone(plugin: Plugin, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(errors.ConflictError, match="is no socket"):
        plugin.listen(path)
    assert path.read_text() == "mine"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(errors.ConflictError):
        plugin.listen(link)


def test_a_socket_that_is_somebody_elses_by_now_stays(plugin: Plugin, tmp_path: Path) -> None:
    path = plugin.listen(tmp_path / "p.sock")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        plugin.close()
        assert path.exists()


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 200])
def test_paths_that_are_none(plugin: Plugin, path: str) -> None:
    with pytest.raises(errors.InvalidError, match="path of 1 to"):
        plugin.listen(path)


# --- TCP ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of an authority, of a server and of a client, made by openssl."""
    return make_authority(tmp_path_factory.mktemp("tls"))


def files(authority: Path) -> Tls:
    return Tls(*(str(authority / name) for name in ("server.pem", "server.key", "ca.pem")))


def ask(address: tuple[str, int], context: ssl.SSLContext) -> int:
    client = http.client.HTTPSConnection(*address, context=context, timeout=10)
    try:
        client.request("GET", "/health")
        return client.getresponse().status
    finally:
        client.close()


def test_tls_on_both_sides(plugin: Plugin, authority: Path) -> None:
    address = plugin.listen_tcp("127.0.0.1:0", files(authority))
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):  # who shows no certificate
        ask(address, context)
    with socket.create_connection(address, 10) as plain:  # who speaks no TLS
        plain.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"200" not in plain.recv(100)
    context.load_cert_chain(authority / "client.pem", authority / "client.key")
    assert ask(address, context) == 200
    with pytest.raises(errors.ConflictError, match="somebody listens"):
        plugin.listen_tcp(f"127.0.0.1:{address[1]}", None)


def test_old_tls_is_refused(plugin: Plugin, authority: Path) -> None:
    assert files(authority).context().minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(errors.InvalidError, match="TLS"):
        Tls("/nowhere", "/nowhere", "/nowhere").context()


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":99", "127.0.0.1:x", "127.0.0.1:99999", "moon.invalid:9"])
def test_addresses_that_are_none(plugin: Plugin, address: str) -> None:
    with pytest.raises(errors.InvalidError):
        plugin.listen_tcp(address, None)


# --- spec files -----------------------------------------------------------------------------------------------


def test_19_spec_files(tmp_path: Path) -> None:
    path = write_spec(tmp_path / "etc", "dv", "unix:///run/dv.sock")
    assert (path.name, path.read_text()) == ("dv.spec", "unix:///run/dv.sock\n")
    path = write_spec(tmp_path, "dv", "tcp://10.0.0.1:99", Tls("/c", "/k", "/a"))
    document = json.loads(path.read_text())
    assert path.name == "dv.json"
    assert document == {
        "Name": "dv",
        "Addr": "https://10.0.0.1:99",
        "TLSConfig": {"InsecureSkipVerify": False, "CAFile": "/a", "CertFile": "/c", "KeyFile": "/k"},
    }
    assert sorted(os.listdir(tmp_path)) == ["dv.json", "etc"]
    other = tmp_path / "other"
    other.write_text("theirs")
    for planted in ("dv.spec", f".dv.spec.{os.getpid()}"):  # no link is followed
        (tmp_path / planted).symlink_to(other)
    assert write_spec(tmp_path, "dv", "unix:///run/dv.sock").read_text() == "unix:///run/dv.sock\n"
    assert other.read_text() == "theirs"
    (tmp_path / "file").touch()
    with pytest.raises(errors.KernelError, match="spec file"):
        write_spec(tmp_path / "file", "dv", "x")


# --- the command ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tlscert", "x"], "go with --tcp"),
        (["--insecure"], "go with --tcp"),
        (["--tcp", "127.0.0.1:0", "--socket", "x", "--insecure"], "one of them"),
        (["--tcp", "127.0.0.1:0"], "or --insecure"),
        (["--tcp", "127.0.0.1:0", "--tlscert", "x"], "wants"),
        (["--state", "x", "--no-state"], "one of them"),
        (["--no-state", "--log", "loud"], "none of"),
        (["--no-state", "--option", "x"], "KEY=VALUE"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(serve, arguments)
    assert done.exit_code == 2
    assert said in done.output


SLOW = """
import sys, time
from pathlib import Path
from driverapi.plugin import Plugin
from driverapi.testing import FakeDataplane
from tests.support import OwnDriver

place = Path(sys.argv[1])

class Slow(OwnDriver):
    def create_network(self, network_id, options):
        (place / network_id).touch()
        while not (place / "go on").exists():
            time.sleep(0.01)
        super().create_network(network_id, options)

with Plugin(Slow(), name="slow", dataplane=FakeDataplane(), state=place / "slow.db") as plugin:
    plugin.serve(place / "p.sock")
"""


def ask_for_a_network(path: Path, id: str) -> int:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        body = json.dumps({"NetworkID": id}).encode()
        client.sendall(b"POST /NetworkDriver.CreateNetwork HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return int(client.recv(100).split()[1])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_requests_under_way(tmp_path: Path, how: signal.Signals) -> None:
    """They are finished and answered, and what they made is in the state; who comes then finds nobody."""
    path = tmp_path / "p.sock"
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    with subprocess.Popen(command) as process, ThreadPoolExecutor(2) as pool:
        try:
            until(path.exists)
            under_way = [pool.submit(ask_for_a_network, path, id) for id in ("one", "two")]
            until(lambda: all((tmp_path / id).exists() for id in ("one", "two")))
            process.send_signal(how)
            until(lambda: not path.exists())
            with pytest.raises(FileNotFoundError):
                ask_for_a_network(path, "late")
            assert process.poll() is None
            (tmp_path / "go on").touch()
            assert [one.result(10) for one in under_way] == [200, 200]
            assert process.wait(10) == 0
        finally:
            process.kill()
    kept = {record.id: record.state for record in SqliteStore(tmp_path / "slow.db", reading=True).records()}
    assert kept == {"one": State.CREATED, "two": State.CREATED}


@pytest.mark.parametrize("tcp", [False, True])
def test_the_command(tmp_path: Path, tcp: bool) -> None:
    """In namespaces of its own: it says where it is, is found by a file, and ends when it is told to."""
    run = tmp_path / "run"
    where = ["--tcp", "127.0.0.1:0", "--insecure"] if tcp else ["--socket", str(tmp_path / "p.sock")]
    program = "from driverapi._private import enter_private_namespaces; enter_private_namespaces()\n"
    program += "import subprocess; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
    program += "from driverapi.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--driver", "null", "--name", "dv", "--spec", str(tmp_path)]
    command += ["--state", str(tmp_path / "dv.db"), "--run-dir", str(run), *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        spec = (tmp_path / "dv.spec").read_text().strip()
        if tcp:
            assert line.startswith("dv: driver null on tcp://127.0.0.1:")
        else:
            assert line == f"dv: driver null on {tmp_path}/p.sock\n"
            assert spec == f"unix://{tmp_path}/p.sock"
            assert health(tmp_path / "p.sock")["Name"] == "dv"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "dv: ending\n"
        assert process.wait(10) == 0
    assert not (tmp_path / "dv.spec").exists()
    assert not (tmp_path / "p.sock").exists()
    assert os.listdir(run) == []
