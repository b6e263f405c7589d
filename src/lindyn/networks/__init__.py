"""Networks held as their reduced layers, the laws and constructions of their starts, and modes of factor pairs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
