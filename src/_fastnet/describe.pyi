"""Messages in people's words (C level only: ``cimport`` it)."""
