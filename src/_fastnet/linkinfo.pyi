"""What the kinds of links, bridge ports and IPv4 stacks of links may be told (C level only: ``cimport`` it)."""
