"""One conversation with the kernel, without the GIL (C level only: ``cimport`` it)."""
