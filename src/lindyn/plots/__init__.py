"""Figures. Every plotter takes `ax=` and returns it; matplotlib is imported when one is called.

Examples:
    >>> import lindyn as ld
    >>> from lindyn import plots
    >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
    >>> run = ld.simulate(ld.Mixed(threshold=1.0), task, times=[0.0, 0.05, 0.1])
    >>> plots.errors(run).get_ylabel()
    'error per entry'
"""

from lindyn.plots.advice import trade_off
from lindyn.plots.curves import errors, figure1, mode_growth, prediction, save_figure, singular_values
from lindyn.plots.pairs import pair_modes
from lindyn.plots.phase_diagrams import phase_panels, refined_panel
from lindyn.plots.tracking import who_crossed_when

__all__ = [
    "errors",
    "figure1",
    "mode_growth",
    "pair_modes",
    "phase_panels",
    "prediction",
    "refined_panel",
    "save_figure",
    "singular_values",
    "trade_off",
    "who_crossed_when",
]
