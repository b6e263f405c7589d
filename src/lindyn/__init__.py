"""Simulate, predict and diagnose the training of linear networks, exactly and at any width.

Four nouns and one verb: a task (what is learned), a network or a dynamics (what moves), a method (how the motion is
computed) and a trajectory (what comes out), joined by `simulate`.
"""

import lazy_loader

from lindyn._version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
