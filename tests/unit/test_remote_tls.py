"""Docker plugins over TCP: TLS on both sides, by hand and out of spec files; our own server is the plugin."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from driverapi import errors, places
from driverapi.plugin import Plugin, Tls, write_spec
from driverapi.remote import RemoteDriver, RemoteIPAM, TlsFiles
from driverapi.remote.client import PluginClient
from driverapi.testing import FakeDataplane


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of two authorities, and of a server and a client of the first."""
    place = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "other"):
        subject = ("-subj", f"/CN={name}", "-days", "2")
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject)
    for who in ("server", "client"):
        (place / f"{who}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", *key, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{who}.ext")
        openssl("x509", "-req", "-in", f"{who}.csr", "-out", f"{who}.pem", *signed)
    return place


@pytest.fixture
def address(keys: Path) -> Iterator[str]:
    with Plugin("bridge", name="far", dataplane=FakeDataplane()) as plugin:
        tls = Tls(*(str(keys / name) for name in ("server.pem", "server.key", "ca.pem")))
        yield "{}:{}".format(*plugin.listen_tcp("127.0.0.1:0", tls))


def files(keys: Path, *names: str, insecure: bool = False) -> TlsFiles:
    return TlsFiles(*(str(keys / name) if name else "" for name in names), insecure=insecure)


def scope(address: str, tls: TlsFiles | None) -> str:
    driver = RemoteDriver("far", address, tls, timeout=5, patience=0)
    try:
        return driver.scope
    finally:
        driver._client.close()


@pytest.mark.parametrize("scheme", ["https", "tcp"])
def test_both_show_who_they_are(address: str, keys: Path, scheme: str) -> None:
    assert scope(f"{scheme}://{address}", files(keys, "ca.pem", "client.pem", "client.key")) == "local"
    assert scope(f"{scheme}://{address}", files(keys, "", "client.pem", "client.key", insecure=True)) == "local"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("other.pem", "client.pem", "client.key"), "certificate"),  # we do not believe it
        (("", "client.pem", "client.key"), "certificate"),
        (("ca.pem",), "far"),  # it does not believe us: how that is said is TLS's affair
    ],
)
def test_who_is_not_believed(address: str, keys: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(errors.PluginError, match=said):
        scope(f"https://{address}", files(keys, *names))


def test_a_request_says_whom_it_is_for() -> None:
    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as one:
                said.append(one.recv(4096))
                one.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"Implements": null}')

        answering = threading.Thread(target=serve)
        answering.start()
        client = PluginClient("far", f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        assert client.implements == ()
        answering.join()
        assert f"\r\nHost: 127.0.0.1:{listening.getsockname()[1]}\r\n".encode() in said[0]
        client.close()


def test_no_tls_where_it_is_wanted(address: str) -> None:
    with pytest.raises(errors.PluginError):
        scope(f"http://{address}", None)


def test_by_a_spec_file(address: str, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SOCKETS", ())
    monkeypatch.setattr(places, "SPECS", (tmp_path,))
    tls = Tls(*(str(keys / name) for name in ("client.pem", "client.key", "ca.pem")))
    path = write_spec(tmp_path, "far-away", f"tcp://{address}", tls)
    assert json.loads(path.read_bytes())["TLSConfig"]["InsecureSkipVerify"] is False
    driver, ipam = RemoteDriver("far-away"), RemoteIPAM("far-away")
    assert driver._client is ipam._client
    assert driver.scope == "local"
    ipam.release_pool(ipam.request_pool().id)
    driver._client.close()


def test_files_that_are_none(address: str, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidError, match="TLS: No such file"):
        scope(f"https://{address}", TlsFiles(str(tmp_path / "none.pem")))
