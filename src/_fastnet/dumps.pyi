"""Requests for dumps, with what to leave out (C level only: ``cimport`` it)."""
