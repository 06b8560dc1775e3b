"""Names of links that count up (C level only: ``cimport`` it)."""
