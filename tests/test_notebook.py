"""The notebook for students runs from top to bottom, and shows what its text says."""

import json
from pathlib import Path

import numpy as np
import pytest

from lindyn.prediction import SpikedSpectrum

NOTEBOOK = Path(__file__).parents[1] / "docs" / "lazy-and-active.ipynb"


def cells():
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (stored["nbformat"], len({cell["id"] for cell in stored["cells"]})) == (4, len(stored["cells"]))
    return [cell for cell in stored["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_stored_without_outputs():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())
    assert NOTEBOOK.stat().st_size < 20_000


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_its_text_says(capsys):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.use("agg")
    found = {}
    for cell in cells():
        exec("".join(cell["source"]), found)
    drawn = len(plt.get_fignums())
    plt.close("all")
    assert drawn == 5
    assert "differ by at most" in capsys.readouterr().out
    active, mixed, lazy = found["smallest"].values()
    zero = float(np.mean(np.square(found["task"].signal)))
    assert active < mixed < lazy
    assert lazy == pytest.approx(0.5 * zero, rel=0.1)  # c = ½ for a signal as large as the noise
    decayed, flat = found["with_decay"], found["without"]
    assert decayed["test_error"][-1] < 0.5 * flat["test_error"][-1]
    top = float(SpikedSpectrum(60, [60.0], 1.0).outliers[0])
    assert top == pytest.approx(61, abs=0.5)
    # ½(s − x)² + μs is smallest at x − μ
    assert decayed["signal_modes"][-1, 0] == pytest.approx(top - 20, rel=1e-3)
