"""What this kernel can do: each thing tried, in a private network namespace of a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

__all__ = ["Probe", "probe"]

_PATIENCE: Final = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that a kernel can do or not.

    Attributes
    ----------
    name : str
        As ``"link veth"``.
    there : bool
        Whether it worked.
    needed_by : str
        What does not work without it.
    said : str
        Why not.
    """

    name: str
    there: bool
    needed_by: str
    said: str = ""


def probe() -> list[Probe]:
    """Try everything, in a process of its own; an answer for each.

    Raises
    ------
    OSError
        The process could not be had.
    """
    done = subprocess.run(
        [sys.executable, "-m", "driverapi.doctor.probe"],
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return [Probe("private namespaces", False, "everything", said[-1] if said else f"status {done.returncode}")]
    return [Probe(**one) for one in json.loads(done.stdout)]


def _try_links() -> list[Probe]:
    from driverapi._native import Batch, NetlinkSocket

    with NetlinkSocket() as netlink:
        base = Batch()
        base.add_veth("base", "peer", index=900, peer_index=901)
        netlink.execute(base)
        tries: list[tuple[str, str, Callable[[Batch], object]]] = [
            ("veth", "every driver", lambda batch: batch.add_veth("p0", "p1")),
            ("bridge", "drivers bridge and routed", lambda batch: batch.add_bridge("p2")),
            ("macvlan", "driver macvlan", lambda batch: batch.add_macvlan("p3", 900)),
            ("ipvlan", "driver ipvlan", lambda batch: batch.add_ipvlan("p4", 901)),
            ("vlan", "VLAN parents", lambda batch: batch.add_vlan("p5", 900, 7)),
            ("vxlan", "networks across hosts", lambda batch: batch.add_vxlan("p6", 77)),
            ("dummy", "macvlan and ipvlan networks without a parent", lambda batch: batch.add_dummy("p7")),
            ("ifb", "the same where there is no dummy; limits of bandwidth", lambda batch: batch.add_ifb("p8")),
        ]
        found = []
        for kind, needed_by, put in tries:
            batch = Batch()
            put(batch)
            error = netlink.execute(batch).error(0)
            found.append(Probe(f"link {kind}", error is None, needed_by, "" if error is None else str(error)))
    return found


def _try_user_namespace() -> Probe:
    """Try in a child: there is no way back out of one."""
    from driverapi._native import CLONE_NEWUSER, unshare

    child = os.fork()
    if not child:
        try:
            unshare(CLONE_NEWUSER)
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return Probe(
        "user namespaces", not status, "demo and benchmarks without root", os.strerror(status) if status else ""
    )


def _try_rest() -> list[Probe]:
    found = [_try_user_namespace()]
    conf = "/proc/sys/net/ipv6/conf/all"
    found.append(Probe("IPv6", os.path.isdir(conf), "IPv6 prefixes"))
    found.append(
        Probe(
            "IPv6 forwarding of single links",
            os.path.exists(f"{conf}/force_forwarding"),
            "IPv6 on routed networks, unless net.ipv6.conf.all.forwarding is on",
            "" if os.path.exists(f"{conf}/force_forwarding") else "Linux 6.17 has it",
        )
    )
    nft = shutil.which("nft", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    said = "the command nft is not installed"
    works = False
    if nft is not None:
        done = subprocess.run(  # noqa: S603 - a constant, in a private namespace
            [nft, "add", "table", "inet", "driverapi_probe"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        works, said = not done.returncode, " ".join(done.stderr.split())
    found.append(Probe("nftables", works, "published ports, masquerading", said))
    return found


def _main() -> None:
    from driverapi._private import enter_private_namespaces

    enter_private_namespaces()
    sys.stdout.write(json.dumps([asdict(one) for one in _try_links() + _try_rest()]))


if __name__ == "__main__":
    try:
        _main()
    except OSError as error:
        raise SystemExit(f"{error.strerror or error}") from None
