"""For PyTorch: starts with a prescribed threshold, and a tracker. Needs the extra: pip install 'lindyn[torch]'."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
