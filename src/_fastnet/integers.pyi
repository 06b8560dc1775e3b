"""Integers out of Python objects and buffers (C level only: ``cimport`` it)."""
