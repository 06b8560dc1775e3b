"""What sandboxes are served with: their files, and the text in them."""

from driverapi.services.services import Services

__all__ = ["Services"]
