"""Which name servers the host asks: its ``/etc/resolv.conf``, or that which systemd's resolver hides behind it."""

from __future__ import annotations

from typing import Final

from driverapi.services import resolvconf

__all__ = ["host_resolv_conf"]

_HOST: Final = "/etc/resolv.conf"
_STUB: Final = "127.0.0.53"  # systemd-resolved(8): its own resolver; what it asks itself stands in the other file
_BEHIND_STUB: Final = "/run/systemd/resolve/resolv.conf"
_MOST: Final = 1 << 20  # bytes that are read


def host_resolv_conf() -> str:
    """Return the text of the host's file; of that which systemd's resolver asks, where that is all there is."""
    text = _text_of(_HOST)
    servers = resolvconf.parse(text).nameservers
    return (_text_of(_BEHIND_STUB) or text) if servers and set(servers) == {_STUB} else text


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""
