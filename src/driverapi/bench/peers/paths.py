"""Where Debian puts the programs of peers. A module of its own: the table of workloads imports no peer."""

from __future__ import annotations

__all__ = ["CNI_BRIDGE", "NETAVARK"]

CNI_BRIDGE = "/usr/lib/cni/bridge"
NETAVARK = "/usr/lib/podman/netavark"
