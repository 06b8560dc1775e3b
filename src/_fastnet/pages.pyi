"""Memory for large results, in huge pages where the kernel has them (C level only)."""
