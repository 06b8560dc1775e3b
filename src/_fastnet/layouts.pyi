"""What the kernel's messages look like (C level only: ``cimport`` it)."""
