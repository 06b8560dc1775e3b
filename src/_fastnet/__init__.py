"""The native core: numbers, bytes and file descriptors; never Docker, never drivers.

==========  =====================================================================
bitmap      ordinals 0…n-1: first free, next after, ranges, many at once
bitcore     what a bitmap is made of (C level only)
densetree   its dense region: words under a 64-ary tree (C level only)
fartree     what it has beyond: a sparse tree (C level only)
snapshot    the bytes of its snapshot (C level only)
ordinals    what a bulk allocation gives
ippool      a prefix over a bitmap: IPv4 and IPv6 addresses in and out
poolbytes   the bytes of a pool's snapshot (C level only)
addrspace   which addresses a pool has, and their numbers (C level only)
spans       prefixes, ranges and exclusions as spans (C level only)
quarantine  released ordinals that wait before they are given again (C level only)
addresses   what a bulk allocation of addresses gives
macpool     MAC addresses: derived, drawn, reserved
iflist      packed interface records: what ``EndpointInfo`` is made of
addr        text of addresses and MACs, both ways
integers    integers out of Python objects and buffers (C level only)
u64map      a hash of 64-bit words (C level only)
pages       memory for large results (C level only)
args        arguments of verbs made into what encoders take (C level only)
describe    messages in words (C level only); ``words`` is its tables
wire        a growing buffer of netlink messages and attributes (C level only)
rtnl        one rtnetlink message at a time (C level only)
batch       many messages in one buffer; no I/O
messages    that buffer, and its verbs for links (``linkverbs``, ``kindverbs``), addresses, routes and
            rules (``addressverbs``), neighbours (``neighbourverbs``), whole columns (``columns``)
linkinfo    options of kinds of links, with ``options`` and ``names`` (C level only)
attributes  names of attributes, for errors and traces (Python)
answers     what the kernel said of each message of a batch
layouts     what the kernel's messages look like (C level only)
record      what all records share: bytes, and where each attribute stands in them
records     links, addresses, routes, neighbours and rules out of the kernel's dumps
dumps       requests for dumps, with what to leave out (C level only)
socket      netlink sockets; with exchange the only place with system calls on them
exchange    one conversation with the kernel, without the GIL (C level only)
netns       make, enter, bind and drop network namespaces, on a private thread
errors      what the modules above raise
_floor      what a call costs at the least, for benchmarks
==========  =====================================================================
"""

from _fastnet.batch import Batch
from _fastnet.bitmap import Bitmap
from _fastnet.iflist import InterfaceList
from _fastnet.ippool import IPPool
from _fastnet.macpool import MACPool
from _fastnet.socket import NetlinkSocket

__all__ = ["Batch", "Bitmap", "IPPool", "InterfaceList", "MACPool", "NetlinkSocket"]
