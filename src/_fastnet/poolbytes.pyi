"""The bytes of a pool's snapshot (C level only)."""
