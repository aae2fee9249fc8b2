"""The guide's import path: ``from storify.model import Model``."""

from .models import Model, field

__all__ = ["Model", "field"]
