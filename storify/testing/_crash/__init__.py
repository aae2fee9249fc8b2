"""Crash points: a scenario of yours, ended at each disk call that it makes."""

from storify.testing._crash.crashed import Crashed
from storify.testing._crash.plan import Kind, Point
from storify.testing._crash.points import CrashPoints, crash_points

__all__ = ["CrashPoints", "Crashed", "Kind", "Point", "crash_points"]
