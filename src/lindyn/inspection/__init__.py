"""Inspection of factor pairs: LoRA adapters, checkpoints with named pairs, live modules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
