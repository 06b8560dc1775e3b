"""Integers out of Python objects and buffers (C level: ``cimport`` it)."""

from typing import final

@final
class Column:
    """A column of 64-bit integers that a caller gave; made and read at C level only."""
