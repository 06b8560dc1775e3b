"""The one seam between the pure layer and the native core: what crosses it.

Only this module imports ``_fastnet``; ``_fastnet`` never imports ``driverapi``.
"""

from __future__ import annotations

from _fastnet._floor import Floor
from _fastnet.addr import ip_text, mac_text, pack_ip, pack_mac
from _fastnet.answers import UNKNOWN, Answers
from _fastnet.batch import Batch
from _fastnet.bitmap import Bitmap
from _fastnet.errors import Excluded, Exhausted, NetlinkError, NotTaken, OutOfRange, Reserved, Taken
from _fastnet.hostports import bind_ports, close_all
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from _fastnet.netns import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWUSER, Namespace, file_in, socket_in, unshare
from _fastnet.netns import create as create_namespaces
from _fastnet.netns import drop as drop_namespaces
from _fastnet.netns import open as open_namespace
from _fastnet.nft import NftBatch
from _fastnet.portmaps import plain_ports, translations
from _fastnet.records import LinkRecord, links
from _fastnet.socket import NetlinkSocket, execute_many, observe

__all__ = [
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWUSER",
    "UNKNOWN",
    "Answers",
    "Batch",
    "Bitmap",
    "Excluded",
    "Exhausted",
    "Floor",
    "IPPool",
    "InterfaceList",
    "LinkRecord",
    "MACPool",
    "Namespace",
    "NetlinkError",
    "NetlinkSocket",
    "NftBatch",
    "NotTaken",
    "OutOfRange",
    "Reserved",
    "Taken",
    "bind_ports",
    "close_all",
    "create_namespaces",
    "drop_namespaces",
    "execute_many",
    "file_in",
    "ip_text",
    "links",
    "mac_text",
    "observe",
    "open_namespace",
    "pack_ip",
    "pack_mac",
    "plain_ports",
    "socket_in",
    "translations",
    "unshare",
]
