"""Packet filter rules of one instance: a table of nftables, made once, and elements of its sets and maps.

``ruleset`` is the table, ``talk`` speaks with the kernel, ``contents`` knows what stands in the sets and maps,
``hostports`` holds ports of the host; ``firewall`` is what the dataplane calls.
"""
