"""Docker's network plugins as drivers of this package, and its IPAM plugins as IPAMs.

``ctl.create_network("weave", …)`` finds the plugin ``weave`` where an engine would, if no driver of that name is
registered, built in or installed; so does ``ipam="weave"``. :class:`RemoteDriver` and :class:`RemoteIPAM` are for
plugins elsewhere, and for other timeouts::

    ctl.registry.register("lab", RemoteDriver("lab", "https://10.0.0.5:9000", TlsFiles("ca.pem", "me.pem", "me.key")))

``docs/remote.md`` says what is done when a plugin is away, slow, or answers what it should not.
"""

from __future__ import annotations

from driverapi.places import Place, TlsFiles, find, names
from driverapi.remote.driver import RemoteDriver
from driverapi.remote.ipam import RemoteIPAM

__all__ = ["Place", "RemoteDriver", "RemoteIPAM", "TlsFiles", "find", "names"]
