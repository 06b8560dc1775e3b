"""Dataplanes: what realises plans. ``linux`` does it in the kernel, ``fake`` in memory."""
