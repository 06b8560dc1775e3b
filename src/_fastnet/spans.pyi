"""Prefixes, ranges and exclusions as spans of addresses (C level only)."""
