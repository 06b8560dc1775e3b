from typing import final

@final
class LinkRecord:
    index: int
    name: str
    kind: str
    flags: int
    mac: bytes
    mtu: int
    master: int
    group: int
    link: int
    @property
    def up(self) -> bool: ...

@final
class AddressRecord:
    family: int
    index: int
    address: bytes
    prefix: int
    flags: int
    scope: int

@final
class RouteRecord:
    family: int
    destination: bytes
    prefix: int
    gateway: bytes
    index: int
    table: int
    metric: int
    scope: int
    protocol: int

@final
class NeighbourRecord:
    family: int
    index: int
    address: bytes
    mac: bytes
    state: int
    flags: int

def links(data: bytes, /) -> list[LinkRecord]: ...
def addresses(data: bytes, /) -> list[AddressRecord]: ...
def routes(data: bytes, /) -> list[RouteRecord]: ...
def neighbours(data: bytes, /) -> list[NeighbourRecord]: ...
