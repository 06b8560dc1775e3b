"""Figures in words: durations, rates, ratios, bytes, targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["amount", "duration", "measured", "rate", "times", "verdict_word"]

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def _three(number: float) -> str:
    """Return three digits that count, never an exponent."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def rate(per_second: float) -> str:
    """Return ``"16.3 M/s"``."""
    for size, letter in _PREFIXES:
        if per_second >= 0.9995 * size:
            return f"{_three(per_second / size)} {letter}/s"
    return f"{per_second:.2g} /s"


def times(ratio: float) -> str:
    """Return ``"14.2x"``."""
    return f"{_three(ratio)}x"


def duration(seconds: float) -> str:
    """Return ``"61.2 ns"``."""
    size, unit = next((one for one in _UNITS if seconds >= 0.9995 * one[0]), _UNITS[-1])
    return f"{_three(seconds / size)} {unit}"


def amount(count: float) -> str:
    """Return ``"2.13 MB"``; a kB is 1,000 bytes."""
    for size, unit in _BYTES:
        if count >= 0.9995 * size:
            return f"{_three(count / size)} {unit}"
    return f"{count:,.0f} B"


def measured(verdict: Mapping[str, Any]) -> str:
    """Return what was measured for a target."""
    value = verdict["measured"]
    if value is None:
        return "—"
    if verdict["of"] in {"seconds", "p50", "p99"}:
        return duration(value)
    if verdict["of"].startswith("bytes"):
        return amount(value) if verdict["of"] == "bytes" else f"{value:.1f} bytes each"
    return f"{_three(value)} ×"


def verdict_word(verdict: Mapping[str, Any]) -> str:
    """Return ``"met"``, ``"missed"`` or ``"not measured"``, and whether that was at a smaller size."""
    word = {True: "met", False: "missed", None: "not measured"}[verdict["met"]]
    return f"{word} on less work" if verdict.get("reduced") else word
