"""Two cores, shared: the demo alone and beside one busy process, and descents of a diagram in one process or in more.

All figures are ratios of wall-clock times of one run on one machine, so that they hold on another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BESIDE_BUSY = 1.4  # the demo beside one busy process, in times of the demo alone: the acceptance ratio
BY_HAND = 1.05  # a diagram as it is, in times of the best setting found by hand
DEMO_SECONDS = 12.0  # on two free cores
_SPIN = "while True: pass"
_DIAGRAM = """
import sys, time
import numpy as np
from lindyn.diagrams import DiagramSettings, estimate, phase_diagram
from lindyn.diagrams.executors import workers_for

if __name__ == "__main__":
    rows = int(sys.argv[2])
    settings = DiagramSettings(
        variance_exponents=np.linspace(-3, 0, 30), width_exponents=np.linspace(0, 2.8, rows), shape=200, rank=5,
        spectrum="mean", sources=("descend",), steps=750,
    )
    options = {"as it is": {"workers": workers_for(estimate(settings))}, "one process": {}, "two lanes": {"lanes": 2},
               "two workers": {"workers": 2}, "two workers, two lanes": {"workers": 2, "lanes": 2}}
    started = time.perf_counter()
    phase_diagram(settings, **options[sys.argv[1]])
    sys.stdout.write(f"{time.perf_counter() - started}\\n")
"""
SETTINGS = ("as it is", "one process", "two lanes", "two workers", "two workers, two lanes")


def _demo(home: Path) -> float:
    started = time.perf_counter()
    command = [sys.executable, "-m", "lindyn", "demo", "--out", str(home / "demo"), "--force"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(*, rounds: int, rows: int) -> dict[str, Any]:
    """Return seconds of the demo, alone and beside a busy process, and of a diagram of `rows` × 30 descents."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        _demo(home)  # once unmeasured, so that files and byte code are at hand
        alone, beside = [], []
        for _ in range(rounds):
            alone.append(_demo(home))
            busy = subprocess.Popen([sys.executable, "-c", _SPIN])
            try:
                beside.append(_demo(home))
            finally:
                busy.kill()
                busy.wait()
        script = home / "diagram.py"
        script.write_text(_DIAGRAM)
        diagrams = {}
        for setting in SETTINGS:
            command = [sys.executable, str(script), setting, str(rows)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            diagrams[setting] = float(done.stdout)
    return {"alone": alone, "beside": beside, "diagrams": diagrams}
