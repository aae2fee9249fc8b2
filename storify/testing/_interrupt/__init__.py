"""Interrupt points: a scenario of yours, interrupted anywhere inside of Storify."""

from storify.testing._interrupt.interrupted import Interrupted
from storify.testing._interrupt.places import By, Place
from storify.testing._interrupt.points import InterruptPoints, interrupt_points

__all__ = ["By", "InterruptPoints", "Interrupted", "Place", "interrupt_points"]
