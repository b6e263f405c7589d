"""Closed forms: mode curves, the mixed and the balanced dynamics, and the integrated flow of two factors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
