"""Where an engine finds a plugin: unix sockets, TCP with TLS, and spec files.

See Docker's ``plugin_api``: sockets in ``/run/docker/plugins``, files ``NAME.spec`` and ``NAME.json`` in
``/etc/docker/plugins`` and ``/usr/lib/docker/plugins``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import msgspec

from driverapi import errors
from driverapi.paths import put_file

__all__ = ["PLUGINS", "Tls", "UnixListener", "listen_tcp", "write_spec"]

PLUGINS: Final = Path("/run/docker/plugins")
"""Where an engine looks for sockets."""

_BACKLOG: Final = 128
_LONGEST: Final = 107  # sockaddr_un's sun_path, less its end


@final
class UnixListener:
    """A unix socket that listens, mode 0600; one that nobody listens on any more is replaced.

    Parameters
    ----------
    path : path
        Its directory is made, mode 0755, where it is not there.

    Raises
    ------
    errors.ConflictError
        Somebody listens there, or what is there is no socket.
    errors.InvalidError
        The path is longer than 107 bytes, or none.
    errors.KernelError, errors.NoPermissionError
        It could not be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        text = os.fsdecode(path)
        if not text or "\0" in text or len(os.fsencode(text)) > _LONGEST:
            raise errors.InvalidError(f"socket {text[:120]!r} is not a path of 1 to {_LONGEST} bytes")
        self.path = Path(text).absolute()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _told(f"socket {self.path}"):
                self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                with _alone(self.path.parent):
                    self._clear()
                    self.socket.bind(str(self.path))
                    os.chmod(self.path, 0o600)  # before anybody can connect
                    self.socket.listen(_BACKLOG)
                    self._node = _node(self.path)
        except BaseException:
            self.socket.close()
            raise

    def _clear(self) -> None:
        """Take away a socket that nobody listens on."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise errors.ConflictError(f"{self.path} is there and is no socket; choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(str(self.path))
            except ConnectionRefusedError:
                os.unlink(self.path)
                return
            except TimeoutError:
                pass
        raise errors.ConflictError(f"a plugin listens on {self.path} already; end it, or choose another name")

    def remove(self) -> None:
        """Remove the path, unless it is somebody else's by now. The socket stays open."""
        with contextlib.suppress(OSError), _alone(self.path.parent):
            if _node(self.path) == self._node:
                os.unlink(self.path)


def _node(path: Path) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep others of this package from looking at, or making, sockets in a directory meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Make an error of the operating system one of ours."""
    try:
        yield
    except OSError as error:
        kind = errors.NoPermissionError if isinstance(error, PermissionError) else errors.KernelError
        raise kind(f"{what}: {error.strerror or error}", error.errno or 0) from error


@dataclass(frozen=True, slots=True)
class Tls:
    """Files, PEM: our certificate and its key, and the authority that the engine's certificate must be from."""

    certificate: str
    key: str
    authority: str

    def context(self) -> ssl.SSLContext:
        """Return the context of a server that asks for the client's certificate; TLS 1.2 at least."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.authority)
        except OSError as error:  # SSLError is one
            files = f"{self.certificate}, {self.key}, {self.authority}"
            raise errors.InvalidError(f"TLS: {error.strerror or error} (of {files})") from error
        return context


def listen_tcp(address: str) -> socket.socket:
    """Listen on ``HOST:PORT``; ``[::1]:PORT`` for IPv6.

    Raises
    ------
    errors.InvalidError
        It is no such text, or no address of this host.
    errors.ConflictError
        Somebody listens there.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise errors.InvalidError(f"{address!r} is not HOST:PORT, such as '127.0.0.1:9999'")
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise errors.ConflictError(f"somebody listens on {address} already; choose another port") from error
        raise errors.InvalidError(f"cannot listen on {address}: {error.strerror or error}") from error


def write_spec(directory: str | os.PathLike[str], name: str, address: str, tls: Tls | None = None) -> Path:
    """Write the file that tells an engine where a plugin is; return its path.

    ``NAME.spec`` has the address alone; with TLS ``NAME.json`` has the files that the engine is to use too: ours,
    to be changed where the engine has a certificate of its own.

    Raises
    ------
    errors.KernelError, errors.NoPermissionError
        It could not be written; one that was there is as it was.
    """
    if tls is None:
        path, text = Path(directory, f"{name}.spec"), address.encode() + b"\n"
    else:
        files = {"CAFile": tls.authority, "CertFile": tls.certificate, "KeyFile": tls.key}
        # To an engine "tcp" is plain HTTP, whatever files there are.
        document = {
            "Name": name,
            "Addr": address.replace("tcp:", "https:", 1),
            "TLSConfig": {"InsecureSkipVerify": False, **files},
        }
        path, text = Path(directory, f"{name}.json"), msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    with _told(f"spec file {path}"):
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            put_file(descriptor, path.name, text)
        finally:
            os.close(descriptor)
    return path
