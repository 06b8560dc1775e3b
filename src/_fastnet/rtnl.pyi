"""One rtnetlink message at a time (C level only: ``cimport`` it)."""
