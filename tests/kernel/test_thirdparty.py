"""The example of a third party: installed by pip, found by its entry point, and up on the real kernel."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

# Before anything that could start a thread. This process stands in private namespaces already: these are new ones.
ENTER = "from driverapi._private import enter_private_namespaces; enter_private_namespaces()\n"

USE = """
import json
from driverapi import Controller
from driverapi.pinger import Ping, ping
from pyroute2 import IPRoute, NetNS

def host_links():
    with IPRoute() as ip:
        return sorted(link.get("ifname") for link in ip.get_links())

before = host_links()
with Controller() as ctl:
    lab = ctl.create_network("labnet", "lab", ipv4="10.9.0.0/24")
    seventh = lab.create_endpoint("seventh", options={"labnet.node": 7})
    seventh.join(ctl.create_sandbox("seventh"))
    others = lab.attach(3, strict=True)
    with NetNS(seventh.sandbox.key, flags=0) as ip:
        (link,) = ip.get_links(ifname="lab0")
        found = {
            "state": link["state"],
            "mac": link.get("address"),
            "addresses": [f"{one.get('address')}/{one['prefixlen']}" for one in ip.get_addr(index=link["index"])],
            "routes": [route.get("dst") for route in ip.get_routes(family=2, table=254)],
        }
    found["others"] = [str(one.interfaces[0].address) for one in others]
    first = Ping(seventh.sandbox.key, bytes([10, 9, 0, 1]), target_namespace=others[0].sandbox.key)
    outside = Ping(seventh.sandbox.key, bytes([10, 9, 0, 99]))
    found["answered"] = [answer.answered for answer in ping([first, outside], timeout=0.5)]
    found["made"] = len(host_links()) - len(before)
found["left"] = sorted(set(host_links()) - set(before))
print(json.dumps(found))
"""


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(one) for one in path] + [one for one in sys.path if one]
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "DRIVERAPI_RUN_DIR": "/run/driverapi"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the example installed into it; a copy is built, so that the sources stay clean."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools, which builds the example, is not installed here")
    source = tmp_path_factory.mktemp("source") / "thirdparty"
    shutil.copytree(EXAMPLES / "thirdparty", source)
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "install"]
    options = ["--no-index", "--no-build-isolation", "--no-deps", "--no-compile", "--quiet"]
    done = subprocess.run(
        [*pip, *options, "--target", str(target), str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (target / "labnet.py").is_file()
    return target


def test_it_brings_endpoints_up(site: Path) -> None:
    done = python(ENTER + USE, site)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "state": "up",
        "mac": "02:6c:61:62:00:07",
        "addresses": ["10.9.0.7/24"],
        "routes": ["10.9.0.0"],
        "others": ["10.9.0.1/24", "10.9.0.2/24", "10.9.0.3/24"],
        "answered": [True, False],
        "made": 5,
        "left": [],
    }


def test_without_it_there_is_no_such_driver() -> None:
    done = python("from driverapi import DriverRegistry; DriverRegistry().get('labnet')")
    assert done.returncode == 1
    assert "NoDriverError: no driver for network type 'labnet'" in done.stderr


def test_the_quickstart() -> None:
    done = python(ENTER + (EXAMPLES / "quickstart.py").read_text())
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("ep1: 10.77.0.9/16 and fd77::2/64 in /run/driverapi/")
    assert second == "50 of 50 are up, gateway 10.77.0.1; 50 endpoints in all"


def test_the_quickstart_is_fifteen_lines() -> None:
    code = (EXAMPLES / "quickstart.py").read_text().split('"""')[2]
    assert len([line for line in code.splitlines() if line]) <= 15
