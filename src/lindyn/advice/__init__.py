"""Advice before training: how to start, at what learning rate, when to stop, what to expect, and what depth costs."""

from lindyn.advice.api import advise
from lindyn.advice.report import Advice

__all__ = ["Advice", "advise"]
