"""Peers of family ``ports``: a rule for each port, by calls of ``iptables``, or by one file that ``nft`` reads."""

from __future__ import annotations

import re
import subprocess

from driverapi.bench.ports import SANDBOX, PortsTask, nft
from driverapi.bench.task import Parameters

__all__ = ["Iptables", "IptablesLegacy", "NftElements", "NftRules"]

_BASE = """table inet bench {
	map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
"""


class Iptables(PortsTask):
    """A process for each port, as the Docker engine does it: it reads the table, changes it, and writes it."""

    program = "iptables-nft"

    def __init__(self, parameters: Parameters, seed: int) -> None:
        self.most = parameters["calls"]
        super().__init__(parameters, seed)

    def _call(self, verb: str, port: int) -> None:
        words = ["-t", "nat", verb, "PREROUTING", "-p", "tcp", "--dport", str(port), "-j", "DNAT"]
        subprocess.run([self.program, *words, "--to-destination", f"{SANDBOX}:80"], check=True)  # noqa: S603

    def run(self) -> None:
        """Append a rule for each."""
        for port in self.ports:
            self._call("-A", port)

    def teardown(self) -> None:
        """Delete each rule."""
        for port in self.ports:
            self._call("-D", port)

    def count(self) -> int:
        """Count the rules."""
        words = [self.program, "-t", "nat", "-S", "PREROUTING"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.count("DNAT")  # noqa: S603


class IptablesLegacy(Iptables):
    """The same with the kernel's older tables: the whole of one is read and written."""

    program = "iptables-legacy"


class NftRules(PortsTask):
    """One file with a rule for each port; to take them away, one with their handles, which are read beforehand."""

    def setup(self) -> None:
        """Make the table, and write the file."""
        nft("-f", "-", text=_BASE)
        self._text = "".join(
            f"add rule inet bench prerouting tcp dport {port} dnat ip to {SANDBOX}:80\n" for port in self.ports
        )

    def run(self) -> None:
        """Have the file read."""
        nft("-f", "-", text=self._text)

    def check(self) -> None:
        """Count, and write the file that takes them away."""
        super().check()
        handles = re.findall(r"dnat .*# handle (\d+)", nft("-a", "list", "chain", "inet", "bench", "prerouting"))
        self._away = "".join(f"delete rule inet bench prerouting handle {handle}\n" for handle in handles)

    def teardown(self) -> None:
        """Have that read."""
        nft("-f", "-", text=self._away)

    def count(self) -> int:
        """Count the rules."""
        return nft("list", "chain", "inet", "bench", "prerouting").count("dnat ip")

    def settle(self) -> None:
        """See that none is left, and delete the table."""
        super().settle()
        nft("delete", "table", "inet", "bench")


class NftElements(NftRules):
    """One file with an element of a map for each port: what ours does, written and read as text."""

    def setup(self) -> None:
        """Make the table, and write the files."""
        super().setup()
        keys = [f"tcp . {port}" for port in self.ports]
        whole = ", ".join(f"{key} : {SANDBOX} . 80" for key in keys)
        self._text = f"add element inet bench ports {{ {whole} }}\n"
        self._away = f"delete element inet bench ports {{ {', '.join(keys)} }}\n"

    def check(self) -> None:
        """Count."""
        PortsTask.check(self)

    def count(self) -> int:
        """Count the elements."""
        return nft("list", "map", "inet", "bench", "ports").count(f"{SANDBOX} . 80")
