"""Figures. Every plotter takes `ax=` and returns it; matplotlib is imported when one is called.

Examples:
    >>> import lindyn as ld
    >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
    >>> run = ld.simulate(ld.Mixed(threshold=1.0), task, times=[0.0, 0.05, 0.1])
    >>> ld.plots.errors(run).get_ylabel()
    'error per entry'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
