"""Released ordinals that wait before they are given again (C level only)."""

from typing import final

@final
class Quarantine: ...
