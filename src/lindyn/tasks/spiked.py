"""A low-rank signal in noise: the task of the paper."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lindyn.support import checks
from lindyn.support.linalg import haar_frame
from lindyn.support.memory import require_memory
from lindyn.support.randomness import Seed, stream
from lindyn.tasks.completion import Completion
from lindyn.tasks.task import AnyArray, Quadratic, Task, evaluates, optional_signal

_REMEDY = "or use the large-d theory, lindyn.predict, which holds no matrix"


class SpikedMatrix(Task):
    """Approximate T = A* + E, a low-rank signal in noise: C(A) = ½‖A − T‖_F².

    Generated, from `dim` or `shape`: A* = scale·CDᵀ with C, D of iid N(0, rank^{-1/2}) entries (variance), so that
    A* has entries of variance scale² and singular values near scale·√(d_out d_in/rank); or A* with the given
    `singular_values` and uniformly random singular vectors. E has iid N(0, noise²) entries.
    From data: pass `target`, and `signal` where it is known.

    Args:
        dim: size d of a square matrix.
        shape: shape (d_out, d_in), instead of `dim`.
        rank: rank K of the signal.
        singular_values: the signal's singular values, instead of `rank`.
        noise: standard deviation of the noise entries, ≥ 0.
        scale: multiplies the generated signal.
        key: seed, or a numpy Generator.
        dtype: float64 or float32 of generated data; given arrays keep theirs.
        target: an observed matrix, instead of all the above.
        signal: the true matrix, of the target's shape; allows a test error.

    Raises:
        InvalidArgument: sizes, numbers or arrays that cannot be used, or generated and given data mixed.

    References:
        theory sections 0 and 4; Tu, Aranguri, Jacot (2024), section 4.

    Examples:
        >>> task = SpikedMatrix(dim=100, rank=3, key=0)
        >>> task.shape, bool(task.target.std() > 1)
        ((100, 100), True)
        >>> SpikedMatrix(target=[[1.0, 2.0], [3.0, 4.0]]).has_truth
        False
    """

    target: Float[AnyArray, "d_out d_in"]
    signal: Float[AnyArray, "d_out d_in"] | None

    def __init__(
        self,
        dim: int | None = None,
        *,
        shape: tuple[int, int] | None = None,
        rank: int | None = None,
        singular_values: Any = None,
        noise: float = 1.0,
        scale: float = 1.0,
        key: Seed = 0,
        dtype: Any = np.float64,
        target: Any = None,
        signal: Any = None,
    ):
        if target is not None:
            if any(v is not None for v in (dim, shape, rank, singular_values)):
                raise checks.InvalidArgument(
                    "target", "be the only description of the task", "`dim`, `shape` or `rank` is given too"
                )
            _refuse_settings_of_draws(noise, scale, key, dtype)
            self.target = checks.squarable("target", checks.array("target", target, 2))
            self.signal = optional_signal(signal, self.shape, self.target.dtype)
            return
        if signal is not None:
            raise checks.InvalidArgument("signal", "come with a `target`", "no target is given", "pass both")
        d_out, d_in = _one_shape(dim, shape)
        dtype = checks.precision("dtype", dtype)
        noise = checks.number("noise", noise, at_least=0)
        needed = 4 * 8 * d_out * d_in
        require_memory("shape" if dim is None else "dim", d_out * d_in, needed, "a task of that many entries", _REMEDY)
        truth = _draw_signal((d_out, d_in), rank, singular_values, scale, stream("key", key, "signal"))
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused
            error = noise * stream("key", key, "noise").standard_normal((d_out, d_in))
            self.signal = checks.squarable("scale", truth.astype(dtype))
            self.target = checks.squarable("noise", (truth + error).astype(dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in)."""
        d_out, d_in = self.target.shape
        return d_out, d_in

    @property
    def dtype(self) -> np.dtype:
        """Precision of the target."""
        return self.target.dtype

    @evaluates
    def cost(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ½‖A − T‖_F²."""
        return 0.5 * jnp.sum((matrix - self.target) ** 2)

    @evaluates
    def gradient(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, "d_out d_in"]:
        """Return A − T."""
        return matrix - self.target

    @evaluates
    def train_error(self, matrix: Float[AnyArray, "d_out d_in"]) -> Float[AnyArray, ""]:
        """Return ‖A − T‖_F² / (d_out d_in)."""
        return jnp.mean((matrix - self.target) ** 2)

    def quadratic(self) -> Quadratic:
        """Return the target, with curvature 1."""
        return Quadratic(np.asarray(self.target), 1.0)

    def curvature(self) -> float:
        """Return 1."""
        return 1.0

    def observe(self, fraction: float, key: Seed = 0) -> Completion:
        """Return the task of completing this matrix from a random fraction of its entries.

        Examples:
            >>> SpikedMatrix(dim=20, rank=2).observe(0.3, key=1).observed.sum()
            np.int64(120)
        """
        fraction = checks.number("fraction", fraction, above=0)
        if fraction > 1:
            raise checks.InvalidArgument("fraction", "be at most 1", f"it is {fraction:g}")
        count = max(1, round(fraction * self.target.size))
        chosen = stream("key", key, "entries").choice(self.target.size, count, replace=False)
        observed = np.zeros(self.target.size, bool)
        observed[chosen] = True
        return Completion(self.target, observed.reshape(self.shape), signal=self.signal)


def _refuse_settings_of_draws(noise: float, scale: float, key: Seed, dtype: Any) -> None:
    """Refuse what describes a draw beside a given target, where it would have no meaning."""
    given = {"noise": (noise, 1.0), "scale": (scale, 1.0), "key": (key, 0), "dtype": (dtype, np.float64)}
    for name, (value, default) in given.items():
        if value is not default and not (isinstance(value, int | float) and value == default):
            remedy = "cast the target" if name == "dtype" else "pass `target` alone, or with `signal`"
            raise checks.InvalidArgument(name, "be left out beside `target`", f"it is {checks.shown(value)}", remedy)


def _one_shape(dim: int | None, shape: tuple[int, int] | None) -> tuple[int, int]:
    checks.exactly_one("dim", dim, "shape", shape, "pass dim=d or shape=(d_out, d_in)")
    return checks.matrix_shape("dim" if shape is None else "shape", dim if shape is None else shape)


def _draw_signal(
    shape: tuple[int, int], rank: int | None, singular_values: Any, scale: float, rng: np.random.Generator
) -> np.ndarray:
    scale = checks.number("scale", scale, above=0)
    checks.exactly_one("rank", rank, "singular_values", singular_values)
    if rank is not None:
        rank = checks.integer("rank", rank, at_least=1, at_most=min(shape))
        left, right = (rng.standard_normal((n, rank)) * rank**-0.25 for n in shape)
        return scale * left @ right.T
    s = checks.array("singular_values", singular_values, 1, dtype=np.float64)
    if np.any(s < 0):
        raise checks.InvalidArgument("singular_values", "be non-negative", f"the smallest is {s.min():g}")
    if s.size > min(shape):
        raise checks.InvalidArgument("singular_values", f"hold at most {min(shape)} values", f"it holds {s.size}")
    left, right = (haar_frame(n, s.size, rng) for n in shape)
    return scale * (left * s) @ right.T
