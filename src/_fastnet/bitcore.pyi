"""What a bitmap is made of (C level only: ``cimport`` it)."""

from typing_extensions import disjoint_base

@disjoint_base
class BitmapCore:
    """Ordinals 0…size-1, each free or taken, at C level; Python uses `Bitmap`."""
