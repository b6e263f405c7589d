"""Phase diagrams of training in (variance, width): predicted at once, or simulated exactly and resumable."""

from lindyn.phase_diagram.api import phase_diagram
from lindyn.phase_diagram.estimates import Estimate, estimate
from lindyn.phase_diagram.refine import load_points, refine
from lindyn.phase_diagram.settings import DiagramSettings, figure2
from lindyn.phase_diagram.sources import compute
from lindyn.phase_diagram.store import DamagedWarning, load_diagram

__all__ = [
    "DamagedWarning",
    "DiagramSettings",
    "Estimate",
    "compute",
    "estimate",
    "figure2",
    "load_diagram",
    "load_points",
    "phase_diagram",
    "refine",
]
