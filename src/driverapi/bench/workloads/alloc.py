"""Family ``alloc``: addresses out of one prefix."""

from __future__ import annotations

from ipaddress import ip_network

from driverapi.bench.task import OURS, Contender, Target, Workload

__all__ = ["rows"]

_V4 = {"prefix": "10.77.0.0/16"}
_V6 = {"prefix": "fd77::/64"}
_FEW = {"count": 2_000}
_MANY = {"count": 60_000}
_SIZES = {"/24": "10.77.0.0/24", "/16": "10.77.0.0/16", "/8": "10.0.0.0/8"}
_FILLS = (0, 50, 99)


def _pools(kind: str, *, bulk: bool = False, bits: bool = True, objects: bool = True) -> tuple[Contender, ...]:
    """Return who takes part: ``bits`` where a bit per address can be had, ``objects`` where an object can."""
    call = "allocate_many" if bulk else "allocate"
    listed = [Contender(OURS, f"alloc:Ours{kind}", about=f"IPPool.{call}")]
    if objects:
        listed += [
            Contender(
                "ipaddress+set",
                f"peers.ipaddress_pool:{kind}",
                about="hosts(), a set of what is taken, a heap of what came back",
            ),
            Contender(
                "netaddr+set",
                f"peers.netaddr_pool:{kind}",
                "netaddr",
                "iter_hosts(), a set of what is taken, a heap of what came back",
            ),
        ]
    listed += [
        Contender(
            "netaddr.IPSet",
            f"peers.netaddr_ipset:{kind}",
            "netaddr",
            "a set of free addresses, what is given out is removed",
        ),
        Contender(
            "pyroute2.AddrPool",
            f"peers.pyroute2_pool:{kind}",
            "pyroute2",
            "AddrPool.alloc; it has no bulk call and knows numbers only",
        ),
    ]
    if bits:
        listed.append(
            Contender(
                "bitarray",
                f"peers.bitarray_pool:{kind}",
                "bitarray",
                "find(0) from a hint on; it knows numbers only",
            )
        )
    return tuple(listed)


def _yardstick(name: str, task: str, about: str) -> Contender:
    return Contender(name, task, about=about, reference=True)


def _bitarray(kind: str) -> Contender:
    return Contender("bitarray", f"peers.bitarray_pool:{kind}", "bitarray", "find(0) from a hint on")


def _native() -> tuple[Workload, ...]:
    """Return what is asked of the native core, each row with its yardstick."""
    drawn = {"prefix": "10.0.0.0/8", "size": 1 << 24, "count": 500_000}
    return (
        Workload(
            "alloc",
            "Bitmap, allocate and release, hot",
            "pair",
            (
                Contender(OURS, "bitmaps:Hot", about="release(allocate())"),
                _yardstick("native floor", "bitmaps:HotFloor", "one native method returns a fresh int, one takes it"),
                _bitarray("Hot"),
            ),
            {"size": 1 << 20, "count": 50_000},
            {"count": 5_000},
            rounds=9,
            targets=(Target("at most 1.5 × the native floor", "times slower", 1.5, "native floor"),),
        ),
        Workload(
            "alloc",
            "Bitmap of 2^20, 99 % full, random",
            "pair",
            (
                Contender(OURS, "bitmaps:Random", about="release of a random one, allocate"),
                _yardstick("hot", "bitmaps:RandomHot", "Bitmap in the same loop, the same ordinal each time"),
                _bitarray("Random"),
            ),
            {"size": 1 << 20, "filled": (1 << 20) * 99 // 100, "count": 10_000},
            {"count": 1_000},
            rounds=9,
            targets=(Target("at most 1.6 × the hot case", "times slower", 1.6, "hot"),),
            memory=True,
        ),
        Workload(
            "alloc",
            "IPPool to an int",
            "address",
            (
                Contender(OURS, "bitmaps:DrawInt", about="IPPool.allocate"),
                _yardstick("Bitmap", "bitmaps:Draw", "Bitmap.allocate, of the same size"),
            ),
            drawn,
            {"count": 20_000},
            rounds=9,
            targets=(Target("at most 1.3 × Bitmap", "times slower", 1.3, "Bitmap"),),
        ),
        Workload(
            "alloc",
            "IPPool to text",
            "address",
            (
                Contender(OURS, "bitmaps:DrawText", about="IPPool.allocate_text"),
                _yardstick("Bitmap", "bitmaps:Draw", "Bitmap.allocate, of the same size"),
            ),
            drawn,
            {"count": 20_000},
            rounds=9,
            targets=(Target("at most 3 × Bitmap", "times slower", 3, "Bitmap"),),
        ),
    )


def _large() -> tuple[Workload, ...]:
    bulk = _pools("Bulk", bulk=True, objects=False)
    return (
        Workload(
            "alloc",
            "bulk, a whole /8",
            "address",
            (
                bulk[0],
                _yardstick("single call", "alloc:OursOneByOne", "IPPool.allocate, once per address"),
                *(one for one in bulk[1:] if one.name == "bitarray"),
            ),
            {"prefix": "10.0.0.0/8", "count": (1 << 24) - 2, "memory": 1 << 27},
            {"count": 1 << 18, "memory": 1 << 21},
            targets=(
                Target("at most 3 ns an address, every element written", "seconds", 3e-9),
                Target("at least 15 × the single call", "times faster", 15, "single call"),
            ),
            about="every address, into a buffer whose every element is written",
        ),
        Workload(
            "alloc",
            "a full /8",
            "address",
            (
                Contender(OURS, "alloc:OursFull", about="allocate_many of all, the result dropped"),
                Contender(
                    "bitarray",
                    "peers.bitarray_pool:Full",
                    "bitarray",
                    "a slice set to 1, an array made, dropped",
                ),
            ),
            {"prefix": "10.0.0.0/8", "count": (1 << 24) - 2},
            {"prefix": "10.0.0.0/12", "count": (1 << 20) - 2},
            memory=True,
            targets=(Target("at most 2.3 MB", "bytes", 2.3e6),),
            about="what a pool holds when every address is taken",
        ),
        Workload(
            "alloc",
            "a fresh /64",
            "pool",
            _pools("New", bits=False),
            {**_V6, "count": 1_000},
            {"count": 100},
            memory=True,
            targets=(Target("at most 2 KB", "bytes", 2_048),),
            about="a pool made, nothing taken",
        ),
        Workload(
            "alloc",
            "quarantine of 1,000,000",
            "address",
            (
                Contender(OURS, "alloc:OursQuarantine", about="allocate where 1,000,000 released addresses rest"),
                _yardstick("no quarantine", "alloc:OursUnquarantined", "allocate where as many were released"),
            ),
            {"prefix": "10.0.0.0/8", "count": 500_000, "released": 1_000_000},
            {"count": 20_000},
            memory=True,
            targets=(
                Target("at most 1.2 × without quarantine", "times slower", 1.2, "no quarantine"),
                Target("at most 24 bytes each", "bytes each", 24, "no quarantine", each=1_000_000),
            ),
        ),
    )


def _recycle(size: str, fill: int) -> Workload:
    """Return one point of the lines over size and fill.

    With a /8 that is filled the sets would hold 8 to 16 million objects, gigabytes and half a
    minute of preparation; they are left out there.
    """
    prefix = _SIZES[size]
    hosts = ip_network(prefix).num_addresses - 2
    return Workload(
        "alloc",
        f"recycle, {size}, {fill} % full",
        "address",
        _pools("Churn", objects=size != "/8" or not fill),
        {"prefix": prefix, "count": 10_000, "filled": max(1, hosts * fill // 100), "fill": fill},
        {"count": 1_000},
        rounds=3,
        memory=True,
        series=f"recycle, {fill} % full",
        at=size,
        about="a random taken address goes back, then one is drawn",
    )


def rows() -> tuple[Workload, ...]:
    """Return its workloads."""
    return (
        Workload("alloc", "IPv4 single", "address", _pools("Single"), {**_V4, "count": 50_000}, _FEW, memory=True),
        Workload("alloc", "IPv4 single, as text", "address", _pools("Text"), {**_V4, "count": 50_000}, _FEW),
        Workload("alloc", "IPv6 single", "address", _pools("Single", bits=False), {**_V6, "count": 50_000}, _FEW),
        Workload(
            "alloc", "IPv4 bulk", "address", _pools("Bulk", bulk=True), {**_V4, "count": 60_000}, _FEW, memory=True
        ),
        Workload(
            "alloc", "IPv6 bulk", "address", _pools("Bulk", bulk=True, bits=False), {**_V6, "count": 60_000}, _FEW
        ),
        *(_recycle(size, fill) for fill in _FILLS for size in _SIZES),
        *_native(),
        *_large(),
    )
