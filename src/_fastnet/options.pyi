"""Attributes that hold a number, a switch or an address (C level only: ``cimport`` it)."""
