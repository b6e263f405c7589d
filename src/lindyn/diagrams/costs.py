"""What a diagram will cost: steps from the theory's stopping times, seconds from a product timed on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import singledispatch

import jax
import jax.numpy as jnp
import numpy as np

from lindyn.diagrams.grid import GridSettings
from lindyn.diagrams.portrait import PortraitSettings
from lindyn.diagrams.settings import SIMULATED, DiagramSettings
from lindyn.diagrams.sources import compute, lane_width
from lindyn.support import checks
from lindyn.support.precision import working_precision

_STEP_OVERHEAD = 1e-4  # seconds of a step beside its products: errors, stopping rules, calls
_PROCESS_BYTES = 400 * 2**20  # Python, JAX and its compiler
_SECONDS_PER_PREDICTION = 4e-5
_SECONDS_PER_LAYER_STEP = 4e-9  # of two hidden units
_SECONDS_TO_COMPILE = 1.5  # each width of lanes


@dataclass(frozen=True)
class Estimate:
    """Cost of a diagram.

    Attributes:
        cells: number of cells, over all sources.
        steps: gradient-descent steps that the theory expects of the simulated cells.
        seconds: time on this machine, in one process.
        bytes: memory of one process.
    """

    cells: int
    steps: int
    seconds: float
    bytes: int

    def __str__(self) -> str:
        steps = f"about {self.steps:,} gradient-descent steps, " if self.steps else ""
        spent = f"{self.seconds:.0f} s" if self.seconds < 100 else f"{self.seconds / 60:.0f} min"
        return f"{self.cells:,} cells: {steps}about {spent} in one process of {self.bytes / 2**20:,.0f} MiB"


@singledispatch
def estimate(settings: GridSettings, *, lanes: int = 1) -> Estimate:
    """Estimate time and memory of a diagram before it is computed.

    Args:
        settings: those of `phase_diagram`.
        lanes: simulated cells side by side.

    Examples:
        >>> from lindyn.diagrams import figure2
        >>> cost = estimate(figure2(sources=["predict"]))
        >>> cost.cells, cost.steps
        (900, 0)
    """
    del lanes
    raise checks.InvalidArgument("settings", "be those of a diagram", f"it is {type(settings).__name__}")


@estimate.register
def _(settings: PortraitSettings, *, lanes: int = 1) -> Estimate:
    del lanes  # all cells run side by side
    cells = settings.cells * len(settings.sources)
    rows = len(settings.learning_rates) if "descend" in settings.sources else 0
    work = rows * settings.layer_steps
    seconds = work * _SECONDS_PER_LAYER_STEP + _SECONDS_TO_COMPILE
    memory = _PROCESS_BYTES + settings.rows_of_a_unit * len(settings.richness) * settings.lane_bytes
    return Estimate(cells, rows * len(settings.richness) * settings.steps, seconds, memory)


@estimate.register
def _(settings: DiagramSettings, *, lanes: int = 1) -> Estimate:
    cells = settings.cells * len(settings.sources)
    simulated = [s for s in settings.sources if s in SIMULATED]
    predicted = cells - len(simulated) * settings.cells
    seconds, steps = _SECONDS_PER_PREDICTION * predicted, 0
    memory = _PROCESS_BYTES
    if simulated:
        expected = _expected_steps(settings)
        steps = int(expected.sum()) * len(settings.seeds)
        n, small = sum(settings.shape), min(settings.shape)
        _, widths = settings.law(0.0, settings.width_exponents)
        columns = np.array([lane_width(settings, w) for w in widths])
        flops = 6 * (columns + small) * settings.shape[0] * settings.shape[1]
        each = flops / _product_rate(n, small, settings.dtype) + _STEP_OVERHEAD
        seconds += float(expected.sum(axis=1) @ each) * len(settings.seeds)
        seconds += _SECONDS_TO_COMPILE * np.unique(columns).size
        memory += lanes * settings.lane_bytes
    return Estimate(cells, steps, seconds, memory)


def _expected_steps(settings: DiagramSettings) -> np.ndarray:
    """Return the last step of each cell (width, variance) by the large-d theory."""
    width, variance = np.meshgrid(settings.width_exponents, settings.variance_exponents, indexing="ij")
    theory = replace(settings, sources=("predict",))
    return compute(theory, 0, variance.ravel(), width.ravel())["predict"]["last_step"].reshape(width.shape)


def _product_rate(n: int, small: int, dtype: str) -> float:
    """Return floating-point operations a second of one compiled product of a step's shape."""
    with working_precision(dtype):
        a, b = jnp.ones((n, small), dtype), jnp.ones((small, small), dtype)
        product = jax.jit(jnp.matmul)
        product(a, b).block_until_ready()
        repeats = max(3, int(1e10 / (2 * n * small**2)))
        started = time.perf_counter()
        for _ in range(repeats):
            out = product(a, b)
        out.block_until_ready()
        return 2 * n * small**2 * repeats / (time.perf_counter() - started)
