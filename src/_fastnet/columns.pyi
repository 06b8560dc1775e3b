from typing_extensions import Buffer

from _fastnet.iflist import InterfaceList
from _fastnet.neighbourverbs import NeighbourVerbs

class Columns(NeighbourVerbs):
    def repeat(self, position: int, indexes: Buffer | list[int] | tuple[int, ...], /) -> int: ...
    def add_veths(
        self,
        pattern: str,
        interfaces: InterfaceList,
        *,
        namespaces: int | Buffer | list[int] | tuple[int, ...] = -1,
        first: int = 0,
        peer: str | bytes = "eth0",
        index: int | Buffer | list[int] | tuple[int, ...] = 0,
        peer_index: int | Buffer | list[int] | tuple[int, ...] = 0,
        peer_step: int = 0,
        mac: bytes | None = None,
        master: int = 0,
        mtu: int = 0,
        group: int = 0,
        up: bool = False,
        queues: int = 1,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def add_neighbours(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 0,
        state: str = "permanent",
        replace: bool = True,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def delete_neighbours(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 0,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def add_fdbs(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 1,
        master: bool = True,
        state: str | None = None,
        dst: bytes | None = None,
        vlan: int = 0,
        replace: bool = False,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def delete_fdbs(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 1,
        master: bool = True,
        dst: bytes | None = None,
        vlan: int = 0,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def add_routes(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 1,
        table: int = 254,
        metric: int = 0,
        protocol: int = 4,
        replace: bool = False,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
    def delete_routes(
        self,
        index: int | Buffer | list[int] | tuple[int, ...],
        interfaces: InterfaceList,
        *,
        step: int = 1,
        table: int = 254,
        metric: int = 0,
        protocol: int = 0,
        start: int = 0,
        count: int | None = None,
    ) -> int: ...
