"""What the tests of the plugin server share: a plugin on the fake dataplane that is asked as an engine asks."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from driverapi.ipam.default import DefaultIPAM
from driverapi.plugin import Plugin
from driverapi.testing import FakeDataplane

NET = "1f" * 32
END = "2e" * 32
KEY = "/var/run/docker/netns/0123456789ab"
SPACE = "driverapi"


class AskedError(Exception):
    """A request that was refused."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(status, document)
        self.status = status
        self.document = document


def make_authority(place: Path) -> Path:
    """Make keys of an authority, of a server and of a client in a directory, and return that; skips without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=place, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for who in ("server", "client"):
        (place / f"{who}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("req", *key, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{who}.ext")
        openssl("x509", "-req", "-in", f"{who}.csr", "-out", f"{who}.pem", *signed)
    return place


class Engine:
    """Asks a plugin as an engine does, without a socket between them."""

    def __init__(self, driver: Any = "bridge", *, state: Path | None = None, **more: Any) -> None:
        self.dataplane = FakeDataplane()
        self._more = {"driver": driver, "state": state, **more}
        self.plugin = self._made()

    def _made(self) -> Plugin:
        self.ipam = DefaultIPAM()
        return Plugin(dataplane=self.dataplane, ipam=self.ipam, **self._more)

    def raw(self, path: str, body: bytes = b"", method: str = "POST") -> tuple[int, Any]:
        """Send bytes; return status and document."""
        status, answer, self.undo = self.plugin.answer(method, path, body)
        return status, json.loads(answer)

    def ask(self, verb: str, /, **fields: Any) -> Any:
        """Ask for a verb; raise ``AskedError`` where it is refused."""
        part = "NetworkDriver" if "." not in verb else ""
        status, document = self.raw(f"/{part}.{verb}" if part else f"/{verb}", json.dumps(fields).encode())
        if status != 200:
            raise AskedError(status, document)
        return document

    def restart(self, *, killed: bool = False) -> None:
        """End the plugin and start it again on its state; a killed one writes nothing more."""
        if killed:
            self.plugin._reconciler.close()
            assert self.plugin._state is not None
            self.plugin._state.close()
        else:
            self.plugin.close()
        self.plugin = self._made()

    # --- what an engine asks in a row -----------------------------------------------------------

    def network(self, id: str = NET, **more: Any) -> dict[str, Any]:
        """Have a network with an address space of ours; return the request."""
        data = {"AddressSpace": SPACE, "Pool": "10.9.0.0/16", "Gateway": "10.9.0.1/16", "AuxAddresses": {}}
        options = {"com.docker.network.enable_ipv6": False, "com.docker.network.generic": {}}
        request = {"NetworkID": id, "Options": options, "IPv4Data": [data], "IPv6Data": [], **more}
        self.ask("CreateNetwork", **request)
        return request

    def endpoint(self, id: str = END, network: str = NET, address: str = "10.9.0.2/16", **more: Any) -> Any:
        """Have an endpoint; return the answer."""
        interface = {"Address": address, "AddressIPv6": "", "MacAddress": ""}
        options = {"com.docker.network.endpoint.exposedports": [], "com.docker.network.portmap": []}
        request = {"NetworkID": network, "EndpointID": id, "Interface": interface, "Options": options, **more}
        return self.ask("CreateEndpoint", **request)

    def join(self, id: str = END, network: str = NET, key: str = KEY) -> Any:
        """Have it join; return the answer."""
        return self.ask("Join", NetworkID=network, EndpointID=id, SandboxKey=key, Options={})

    def empty(self) -> None:
        """See that nothing is left."""
        assert self.plugin._lifecycle.counts() == (0, 0)
        assert self.dataplane.endpoints == {}
        assert self.dataplane.networks == {}
        assert self.dataplane.links == {"lo"}

    def close(self) -> None:
        self.plugin.close()
