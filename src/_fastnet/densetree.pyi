"""The dense region of a bitmap (C level only: ``cimport`` it)."""
