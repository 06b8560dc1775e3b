"""The one seam between the pure layer and the native core: what crosses it.

Only this module imports ``_fastnet``; ``_fastnet`` never imports ``driverapi``.
"""

from __future__ import annotations

from _fastnet.answers import UNKNOWN, Answers
from _fastnet.batch import Batch
from _fastnet.bitmap import Bitmap
from _fastnet.errors import Exhausted, NetlinkError, NotTaken, OutOfRange, Taken
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from _fastnet.netns import Namespace, socket_in
from _fastnet.netns import create as create_namespaces
from _fastnet.netns import drop as drop_namespaces
from _fastnet.netns import identity as namespace_identity
from _fastnet.netns import open as open_namespace
from _fastnet.records import LinkRecord, links
from _fastnet.socket import NetlinkSocket

__all__ = [
    "UNKNOWN",
    "Answers",
    "Batch",
    "Bitmap",
    "Exhausted",
    "IPPool",
    "InterfaceList",
    "LinkRecord",
    "MACPool",
    "Namespace",
    "NetlinkError",
    "NetlinkSocket",
    "NotTaken",
    "OutOfRange",
    "Taken",
    "create_namespaces",
    "drop_namespaces",
    "links",
    "namespace_identity",
    "open_namespace",
    "socket_in",
]
