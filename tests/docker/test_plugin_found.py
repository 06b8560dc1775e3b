"""Where a real Docker engine finds a plugin that is on no socket: by a file, over TCP, with certificates."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.docker.conftest import Host
from tests.plugins import make_authority


@pytest.fixture
def plugins(plain: Host) -> Path:
    """The engine's directory of files that say where plugins are."""
    return Path(f"/proc/{plain.engine.process}/root/etc/docker/plugins")


def serves(host: Host) -> None:
    """Have two containers reach each other, and nothing left of them."""
    host.network("net")
    one, two = host.run("one", "net"), host.run("two", "net")
    assert host.pings(one, host.engine.endpoint("two", "net")["IPAddress"])
    assert host.pings(two, host.engine.endpoint("two", "net")["Gateway"])
    host.remove("one", "two")
    host.remove_networks("net")


def test_by_a_spec_file(plain: Host, plugins: Path) -> None:
    plain.name = "dvspec"  # an engine keeps the address that it has found for a name
    plain.start("--tcp", "127.0.0.1:0", "--insecure", "--spec", str(plugins), *plain.state)
    assert (plugins / "dvspec.spec").read_text().startswith("tcp://127.0.0.1:")
    serves(plain)
    assert plain.stop() == 0
    assert list(plugins.iterdir()) == []


def test_with_certificates(plain: Host, plugins: Path, tmp_path: Path) -> None:
    """The engine shows the plugin's own certificate, as the file says that it can; who shows none is not heard."""
    plain.name = "dvtls"
    made = make_authority(tmp_path)
    files = {"--tlscert": "server.pem", "--tlskey": "server.key", "--tlscacert": "ca.pem"}
    tls = [word for option, name in files.items() for word in (option, str(made / name))]
    plain.start("--tcp", "127.0.0.1:0", *tls, "--spec", str(plugins), *plain.state)
    address = json.loads((plugins / "dvtls.json").read_text())["Addr"].removeprefix("https://")
    serves(plain)
    nobody = ["openssl", "s_client", "-connect", address, "-CAfile", str(made / "ca.pem"), "-quiet"]
    request = b"POST /Plugin.Activate HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n"
    said = subprocess.run([*plain._net(), *nobody], input=request, capture_output=True, timeout=10)
    assert b"Implements" not in said.stdout
    assert b"certificate required" in said.stderr
    assert plain.stop() == 0
    assert list(plugins.iterdir()) == []
