"""Ports of a host, many at once. C level: nothing."""
