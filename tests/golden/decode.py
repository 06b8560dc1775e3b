"""Our messages as pyroute2 reads them: each checked for its header, its attributes as a mapping."""

from __future__ import annotations

from typing import Any

from _fastnet.batch import Batch

REQUEST, ACK = 0x1, 0x4


def decoded(batch: Batch, position: int, kind: type[Any]) -> Any:
    """Decode one message with pyroute2, and check its header."""
    raw = batch.message(position)
    assert len(raw) % 4 == 0
    message = kind(raw)
    message.decode()
    assert message["header"]["length"] == len(raw)
    assert message["header"]["flags"] & REQUEST
    assert not message["header"]["flags"] & ACK
    return message


def head(message: Any) -> tuple[int, int]:
    return message["header"]["type"], message["header"]["flags"] & ~REQUEST


def attributes(message: Any) -> dict[str, Any]:
    pairs = [(name, value) for name, value in message["attrs"]]
    assert len({name for name, _ in pairs}) == len(pairs), "an attribute stands twice"
    return dict(pairs)
