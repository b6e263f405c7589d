"""Phase diagrams of training in (variance, width): predicted at once, or simulated exactly and resumable."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
