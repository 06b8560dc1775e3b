"""Python's arguments into the encoders' terms (C level only: ``cimport`` it)."""
