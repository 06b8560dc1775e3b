from _fastnet.addressverbs import AddressVerbs

class NeighbourVerbs(AddressVerbs):
    def add_neighbour(
        self,
        index: int,
        address: bytes,
        mac: bytes | None = None,
        *,
        state: str = "permanent",
        proxy: bool = False,
        router: bool = False,
        extern_learn: bool = False,
        replace: bool = True,
    ) -> int: ...
    def delete_neighbour(self, index: int, address: bytes, *, proxy: bool = False) -> int: ...
    def add_fdb(
        self,
        index: int,
        mac: bytes,
        *,
        master: bool = True,
        state: str | None = None,
        vlan: int = 0,
        dst: bytes | None = None,
        port: int = 0,
        vni: int = -1,
        via: int = 0,
        sticky: bool = False,
        extern_learn: bool = False,
        replace: bool = False,
        append: bool = False,
    ) -> int: ...
    def delete_fdb(
        self,
        index: int,
        mac: bytes,
        *,
        master: bool = True,
        vlan: int = 0,
        dst: bytes | None = None,
        port: int = 0,
        vni: int = -1,
        via: int = 0,
    ) -> int: ...
