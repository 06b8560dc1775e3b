from _fastnet.kindverbs import KindVerbs

SCOPES: dict[str, int]
ROUTE_TYPES: dict[str, int]
RULE_ACTIONS: dict[str, int]

class AddressVerbs(KindVerbs):
    def add_address(
        self,
        index: int,
        address: bytes,
        prefix: int,
        *,
        nodad: bool = True,
        replace: bool = False,
        peer: bytes | None = None,
        scope: str = "global",
        label: str | bytes | None = None,
        noprefixroute: bool = False,
        home: bool = False,
        optimistic: bool = False,
        mngtmpaddr: bool = False,
        metric: int = 0,
        valid: int | None = None,
        preferred: int | None = None,
    ) -> int: ...
    def delete_address(self, index: int, address: bytes, prefix: int, *, peer: bytes | None = None) -> int: ...
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
        table: int | None = None,
        metric: int = 0,
        type: str = "unicast",
        scope: str | None = None,
        protocol: int = 4,
        mtu: int = 0,
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
        table: int | None = None,
        metric: int = 0,
        type: str | None = None,
        protocol: int = 0,
    ) -> int: ...
    def add_rule(
        self,
        *,
        family: int = 0,
        source: bytes | None = None,
        source_prefix: int | None = None,
        destination: bytes | None = None,
        destination_prefix: int | None = None,
        iif: str | bytes | None = None,
        oif: str | bytes | None = None,
        mark: int | None = None,
        mask: int | None = None,
        table: int = 254,
        priority: int | None = None,
        action: str = "table",
        invert: bool = False,
        suppress_prefix: int | None = None,
    ) -> int: ...
    def delete_rule(
        self,
        *,
        family: int = 0,
        source: bytes | None = None,
        source_prefix: int | None = None,
        destination: bytes | None = None,
        destination_prefix: int | None = None,
        iif: str | bytes | None = None,
        oif: str | bytes | None = None,
        mark: int | None = None,
        mask: int | None = None,
        table: int | None = None,
        priority: int | None = None,
        action: str | None = None,
        invert: bool = False,
        suppress_prefix: int | None = None,
    ) -> int: ...
