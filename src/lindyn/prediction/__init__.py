"""Prediction without simulation: large-d theory, regimes, and pairs of factors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
