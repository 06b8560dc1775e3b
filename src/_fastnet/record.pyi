from typing import Never

from typing_extensions import disjoint_base

@disjoint_base
class Record:
    """What all records share: bytes of the kernel's, and where each attribute stands in them."""

    def __init__(self, *args: Never, **kwargs: Never) -> None: ...
