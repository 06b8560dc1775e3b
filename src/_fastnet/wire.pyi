"""A growing buffer of netlink messages (C level only: ``cimport`` it)."""
