"""An HTTP server that the field's clients already speak to."""

from .settings import Settings

__all__ = ["Settings"]
