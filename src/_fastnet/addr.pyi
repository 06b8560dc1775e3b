def pack_ip(text: str, /) -> bytes:
    """Give an IPv4 or IPv6 address as its 4 or 16 bytes in network order."""

def ip_text(packed: bytes, /) -> str:
    """Give the text of 4 or 16 bytes: dotted, or as RFC 5952 wants it."""

def pack_mac(text: str, /) -> bytes:
    """Give a MAC's 6 bytes."""

def mac_text(packed: bytes, /) -> str:
    """Give the text of 6 bytes, as ``02:42:0a:00:00:01``."""
