"""Transactions of nftables' elements, sent to the kernel and answered by it."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from typing import Final, final

from driverapi._native import NftBatch

__all__ = ["RefusedError", "Talk"]

# include/uapi/linux/netlink.h: #define NETLINK_NETFILTER 12, NETLINK_CAP_ACK 10, NLMSG_ERROR 2; include/linux/socket.h:
#     #define SOL_NETLINK 270; include/uapi/asm-generic/socket.h: SO_SNDBUFFORCE 32, SO_RCVBUFFORCE 33
_NETFILTER, _CAP_ACK, _ERROR, _SOL_NETLINK = 12, 10, 2, 270
_FORCE: Final = {socket.SO_SNDBUF: 32, socket.SO_RCVBUF: 33}

_SMALL: Final = 1 << 17  # bytes of the buffers at first
_SECONDS: Final = 10.0  # the kernel answers before send() returns: to wait at all is a fault already


class RefusedError(OSError):
    """The kernel made none of a transaction's changes; ``position`` is that of the first message it disliked."""

    def __init__(self, errno: int, position: int) -> None:
        super().__init__(errno, os.strerror(errno))
        self.position = position


@final
class Talk:
    """A NETLINK_NETFILTER socket of the namespace of the thread that makes it.

    Thread safety: all methods.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sequence = 1
        self._room = 0
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            self._socket.settimeout(_SECONDS)
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)  # an answer does not repeat the message
            self._grow(_SMALL)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Let go of the descriptor."""
        self._socket.close()

    def _grow(self, size: int) -> None:
        """Have room for a transaction of so many bytes: the kernel takes it in one piece, or not at all."""
        if size <= self._room:
            return
        for plain, force in _FORCE.items():
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, force, size)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, plain, size)
        self._room = size

    def commit(self, batch: NftBatch) -> None:
        """Make all changes of a batch, or none.

        Raises
        ------
        RefusedError
            None was made.
        """
        if not len(batch):
            return
        with self._lock:
            first = self._sequence
            self._sequence = first + len(batch) + 2 if first < 1 << 31 else 1
            data = batch.sealed(first)
            self._grow(2 * len(data))
            self._socket.send(data)
            refused = self._hear(first, first + len(batch))
        if refused is not None:
            raise refused

    def _hear(self, first: int, last: int) -> RefusedError | None:
        """Read answers until that of the last message, or of the transaction itself."""
        refused: RefusedError | None = None
        while True:
            try:
                data, at = self._socket.recv(1 << 16), 0
            except OSError as error:
                # Too many refusals for the buffer (ENOBUFS), or none at all: what was done is not known for sure.
                return refused or RefusedError(error.errno or 110, -1)
            while at + 20 <= len(data):
                size, type, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                if size < 16:
                    break
                if type == _ERROR and first <= sequence <= last:
                    code = -int.from_bytes(data[at + 16 : at + 20], sys.byteorder, signed=True)
                    if code and refused is None:
                        refused = RefusedError(code, sequence - first - 1)
                    if sequence in (first, last):
                        return refused
                at += (size + 3) & ~3
