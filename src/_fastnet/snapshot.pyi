"""The bytes of a bitmap's snapshot (C level only: ``cimport`` it)."""
