"""Advice before training: how to start, at what learning rate, when to stop, what to expect, and what depth costs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
