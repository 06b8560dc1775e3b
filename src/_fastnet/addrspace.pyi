"""Which addresses a pool has, and their numbers (C level only)."""

from typing import final

@final
class AddressSpace: ...
