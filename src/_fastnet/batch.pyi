from typing import final

@final
class Batch:
    """rtnetlink messages one after the other in one buffer. No I/O.

    Every verb appends one message and returns its position (0, 1, …).
    Names are text or bytes, 1…15 bytes. ``mac`` is 6 bytes, addresses are 4 or 16 bytes (network order).
    ``index`` is an ifindex, 0 = not given. ``namespace`` is a descriptor of a network namespace, -1 = the socket's own.
    """

    def __init__(self, capacity: int = 4096, /) -> None: ...
    @property
    def nbytes(self) -> int: ...
    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def clear(self) -> None: ...
    def append(self, message: bytes, /) -> int: ...
    def message(self, position: int, /) -> bytes: ...
    def operation(self, position: int, /) -> str: ...
    def describe(self) -> str: ...

    # links
    def add_veth(
        self,
        name: str | bytes,
        peer: str | bytes,
        *,
        index: int = 0,
        peer_index: int = 0,
        namespace: int = -1,
        mac: bytes | None = None,
        peer_mac: bytes | None = None,
        master: int = 0,
        mtu: int = 0,
        group: int = 0,
        up: bool = False,
        queues: int = 1,
    ) -> int: ...
    def add_bridge(
        self,
        name: str | bytes,
        *,
        index: int = 0,
        mac: bytes | None = None,
        mtu: int = 0,
        group: int = 0,
        up: bool = False,
    ) -> int: ...
    def add_link(
        self,
        name: str | bytes,
        kind: str | bytes,
        *,
        index: int = 0,
        mac: bytes | None = None,
        mtu: int = 0,
        group: int = 0,
        up: bool = False,
    ) -> int: ...
    def set_link(
        self,
        index: int = 0,
        *,
        name: str | bytes | None = None,
        group: int = 0,
        up: bool | None = None,
        mtu: int = 0,
        mac: bytes | None = None,
        master: int = -1,
        new_name: str | bytes | None = None,
        new_group: int = -1,
        alias: str | bytes | None = None,
        addr_gen_mode: int = -1,
        namespace: int = -1,
    ) -> int: ...
    def delete_link(self, index: int = 0, *, name: str | bytes | None = None, group: int = 0) -> int: ...
    def get_link(self, index: int = 0, *, name: str | bytes | None = None) -> int: ...

    # addresses, routes, neighbours
    def add_address(
        self, index: int, address: bytes, prefix: int, *, nodad: bool = True, replace: bool = False
    ) -> int: ...
    def delete_address(self, index: int, address: bytes, prefix: int) -> int: ...
    def add_route(
        self,
        destination: bytes | None = None,
        prefix: int = 0,
        *,
        family: int = 0,
        gateway: bytes | None = None,
        index: int = 0,
        on_link: bool = False,
        source: bytes | None = None,
        table: int = 254,
        metric: int = 0,
        blackhole: bool = False,
        replace: bool = False,
    ) -> int: ...
    def delete_route(
        self,
        destination: bytes | None = None,
        prefix: int = 0,
        *,
        family: int = 0,
        gateway: bytes | None = None,
        index: int = 0,
        table: int = 254,
        metric: int = 0,
    ) -> int: ...
    def add_neighbour(
        self, index: int, address: bytes, mac: bytes, *, permanent: bool = True, replace: bool = True
    ) -> int: ...
    def delete_neighbour(self, index: int, address: bytes) -> int: ...
