"""Phase diagrams of training in (variance, width): predicted at once, or simulated exactly and resumable."""

from lindyn.phase_diagram.api import phase_diagram
from lindyn.phase_diagram.settings import DiagramSettings, figure2
from lindyn.phase_diagram.store import load_diagram

__all__ = ["DiagramSettings", "figure2", "load_diagram", "phase_diagram"]
