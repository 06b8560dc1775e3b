from typing import final

@final
class Floor:
    """The least that a call of `Bitmap.allocate` and `Bitmap.release` can cost; for benchmarks."""

    def give(self) -> int: ...
    def take(self, ordinal: int, /) -> None: ...
