"""A hash of 64-bit words (C level only: ``cimport`` it)."""
