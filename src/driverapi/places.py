"""Where Docker plugins are: unix sockets, and spec files that say an address.

See Docker's ``plugin_api``. A name is looked for in the engine's order: ``NAME.sock`` and ``NAME/NAME.sock`` in
:data:`SOCKETS`, then, in one directory of :data:`SPECS` after the other, ``NAME.spec`` (an address) and ``NAME.json``
(an address and files for TLS), each nested too; the first that is there counts.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from driverapi import errors

__all__ = ["SOCKETS", "SPECS", "Place", "TlsFiles", "find", "names", "place_of", "there"]

SOCKETS: tuple[Path, ...] = (Path("/run/docker/plugins"),)
"""Directories of sockets."""

SPECS: tuple[Path, ...] = (Path("/etc/docker/plugins"), Path("/usr/lib/docker/plugins"))
"""Directories of spec files."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LARGEST: Final = 64 << 10  # bytes of a spec file that are read
_LONGEST: Final = 107  # sockaddr_un's sun_path, less its end


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files for TLS, PEM.

    Attributes
    ----------
    authority : str
        Who must have signed the plugin's certificate; empty: those that the system trusts.
    certificate, key : str
        Ours, where the plugin asks for one.
    insecure : bool
        The plugin's certificate is not looked at: whoever answers is believed (``InsecureSkipVerify``).
    """

    authority: str = ""
    certificate: str = ""
    key: str = ""
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """Return the context of a client; TLS 1.2 at least.

        Raises
        ------
        errors.InvalidError
            A file cannot be read, or is not what it should be.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif self.authority:
                context.load_verify_locations(self.authority)
            else:
                context.load_default_certs()
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key or None)
        except OSError as error:  # SSLError is one
            files = ", ".join(one for one in (self.authority, self.certificate, self.key) if one)
            raise errors.InvalidError(f"TLS: {error.strerror or error} (of {files})") from error
        return context


@dataclass(frozen=True, slots=True)
class Place:
    """Where one plugin is: a unix socket, or a host and port."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        """Return its address."""
        if self.path:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tcp' if self.tls is None else 'https'}://{host}:{self.port}"


def place_of(address: str, tls: TlsFiles | None = None) -> Place:
    """Read an address: ``unix:///PATH``, ``tcp://HOST:PORT``, ``http://HOST:PORT`` or ``https://HOST:PORT``.

    Raises
    ------
    errors.InvalidError
        It is none.
    """
    scheme, mark, rest = address.partition("://") if isinstance(address, str) else ("", "", "")
    if mark and scheme == "unix":
        if not rest.startswith("/") or "\0" in rest or len(os.fsencode(rest)) > _LONGEST:
            raise errors.InvalidError(
                f"address {address[:160]!r}: a socket is an absolute path of at most {_LONGEST} bytes"
            )
        return Place(path=rest)
    host, colon, port = rest.rstrip("/").rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    known = mark and scheme in ("tcp", "http", "https")
    if not (known and colon and host and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise errors.InvalidError(
            f"address {address!r:.160} of a plugin is not unix:///PATH, tcp://HOST:PORT or https://HOST:PORT"
        )
    if scheme == "https" and tls is None:
        tls = TlsFiles()
    return Place(host=host, port=int(port), tls=None if scheme == "http" else tls)


class _TlsConfig(msgspec.Struct, frozen=True):
    ca_file: str | None = msgspec.field(default=None, name="CAFile")
    cert_file: str | None = msgspec.field(default=None, name="CertFile")
    key_file: str | None = msgspec.field(default=None, name="KeyFile")
    insecure: bool | None = msgspec.field(default=None, name="InsecureSkipVerify")


class _Spec(msgspec.Struct, frozen=True):
    address: str = msgspec.field(name="Addr")
    name: str | None = msgspec.field(default=None, name="Name")
    tls: _TlsConfig | None = msgspec.field(default=None, name="TLSConfig")


def find(name: str) -> Place:
    """Return where the plugin of a name is.

    Raises
    ------
    errors.NotFoundError
        There is neither a socket nor a spec file of that name; or the name is none that a plugin has.
    errors.InvalidError
        Its spec file cannot be read, or is not what it should be.
    """
    path = _path(name)
    if path is None:
        looked = ", ".join(map(str, (*SOCKETS, *SPECS)))
        raise errors.NotFoundError(f"no plugin {name!r:.80} in {looked}")
    return place_of(f"unix://{path}") if path.suffix == ".sock" else _read(path)


def there(name: str) -> bool:
    """Tell whether there is a plugin of a name, whatever its spec file says."""
    return _path(name) is not None


def _path(name: str) -> Path | None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    for directory, suffix, kind in _where():
        for path in (directory / f"{name}{suffix}", directory / name / f"{name}{suffix}"):
            if _is(path, kind):
                return path
    return None


def _where() -> Iterator[tuple[Path, str, Callable[[int], bool]]]:
    for directory in SOCKETS:
        yield directory, ".sock", stat.S_ISSOCK
    for directory in SPECS:  # what is in the first goes before all that is in the second
        yield directory, ".spec", stat.S_ISREG
        yield directory, ".json", stat.S_ISREG


def names() -> list[str]:
    """Return the names of the plugins that there are, sorted."""
    found = set()
    for directory, suffix, _ in _where():
        with contextlib.suppress(OSError):
            found |= {path.stem if path.suffix == suffix else path.name for path in directory.iterdir()}
    return sorted(name for name in found if there(name))


def _is(path: Path, kind: Callable[[int], bool]) -> bool:
    try:
        return kind(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _read(path: Path) -> Place:
    """Read a spec file."""
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST)
        if path.suffix == ".spec":
            return place_of(text.decode().strip())
        spec = msgspec.json.decode(text, type=_Spec)
    except (OSError, ValueError, RecursionError) as error:  # of ours and of msgspec's
        raise errors.InvalidError(f"spec file {path}: {error}") from error
    tls = None
    if spec.tls is not None:
        given = spec.tls
        tls = TlsFiles(given.ca_file or "", given.cert_file or "", given.key_file or "", bool(given.insecure))
    try:
        return place_of(spec.address, tls)
    except errors.InvalidError as error:
        raise errors.InvalidError(f"spec file {path}: {error}") from None
