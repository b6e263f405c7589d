"""Large-d limit of a signal in noise: spectra without matrices, and the error curves that follow (theory section 5).

T = A* + E is a spiked random matrix: each singular value of A* above the edge of detectability shows as an outlier of
T with a known place and known overlaps; all else is Marchenko–Pastur bulk. Fed to the mode curve (3.2) they give the
train and test error of training at any time, for any dimension, in microseconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn.solutions.modes import mode_curve
from lindyn.support import checks, linalg
from lindyn.support.randomness import stream

if TYPE_CHECKING:
    from jaxtyping import Float

_BULK_NODES = 32
_BLOCK = 20_000  # points evaluated at once: some 100 MB


def mean_signal_spectrum(shape: int | tuple[int, int], rank: int, *, scale: float = 1.0) -> Float[np.ndarray, " rank"]:
    """Return the mean ordered singular values of A* = scale·CDᵀ, C and D of iid N(0, rank^{-1/2}) entries (variance).

    They are those of R_C R_Dᵀ/√K with the K × K triangular (Bartlett) factors of C and D, averaged over 10,000 draws
    of a fixed seed (fewer for K > 18): no matrix of order d is formed.

    Args:
        shape: (d_out, d_in), or d; any size.
        rank: K.
        scale: multiplies the signal.

    Raises:
        InvalidArgument: a rank over the smaller dimension or over 2,000.

    References:
        theory section 5, (1.4).

    Examples:
        >>> mean_signal_spectrum(200, 5).round(0).tolist()
        [104.0, 95.0, 88.0, 82.0, 75.0]
    """
    d_out, d_in = checks.matrix_shape("shape", shape)
    k = checks.integer("rank", rank, at_least=1, at_most=min(d_out, d_in, 2000))
    return checks.number("scale", scale, above=0) * _mean_spectrum(d_out, d_in, k)


@cache
def _mean_spectrum(d_out: int, d_in: int, k: int) -> np.ndarray:
    rng = stream("key", 0, "spectrum")
    draws = max(2, min(10_000, 60_000_000 // k**3))
    batch = max(1, min(draws, 4_000_000 // k**2))
    total = np.zeros(k)
    for first in range(0, draws, batch):
        count = min(batch, draws - first)
        left, right = (linalg.bartlett(k, d, rng, (count,)) for d in (d_out, d_in))
        total += np.linalg.svd(left.transpose(0, 2, 1) @ right, compute_uv=False).sum(axis=0)
    return total / draws / math.sqrt(k)


@dataclass(frozen=True, eq=False)
class SpikedSpectrum:
    """Spectrum of T = A* + E as d → ∞, E of iid N(0, noise²) entries.

    For θ = s/(noise·√n), n the larger and c·n the smaller dimension, a singular value s of A* with θ > c^¼ shows at
    noise·√n·√((1 + θ²)(c + θ²))/θ, with squared overlaps 1 − c(1 + θ²)/(θ²(θ² + c)) and 1 − (c + θ²)/(θ²(θ² + 1)) of
    its singular vectors. For a square matrix: √d(1 + θ²)/θ and 1 − θ⁻². The bulk is Marchenko–Pastur.

    Args:
        shape: (d_out, d_in).
        signal: singular values of A*, any order.
        noise: standard deviation of a noise entry, ≥ 0.

    Raises:
        InvalidArgument: negative values, or more singular values than the smaller dimension.

    References:
        theory section 5; Benaych-Georges & Nadakuditi (2012), theorems 2.8, 2.9 and example 3.1; Gavish & Donoho
        (2014).

    Examples:
        >>> spectrum = SpikedSpectrum((10**6, 10**6), [2000.0], noise=1.0)  # θ = 2
        >>> float(spectrum.outliers[0]), float(spectrum.overlaps[0])
        (2500.0, 0.75)
    """

    shape: tuple[int, int]
    signal: Float[np.ndarray, " rank"]
    noise: float

    def __init__(self, shape: int | tuple[int, int], signal: Any, noise: float = 1.0):
        object.__setattr__(self, "shape", checks.matrix_shape("shape", shape))
        s = np.sort(checks.array("signal", signal, 1, dtype=np.float64))[::-1]
        if s[-1] < 0 or s.size > min(self.shape):
            raise checks.InvalidArgument(
                "signal",
                f"hold at most {min(self.shape)} non-negative singular values",
                f"it holds {s.size}, the smallest {s[-1]:g}",
            )
        object.__setattr__(self, "signal", s)
        object.__setattr__(self, "noise", checks.number("noise", noise, at_least=0))

    @property
    def edge(self) -> float:
        """Largest singular value of the bulk, noise(√d_out + √d_in)."""
        return self.noise * (math.sqrt(self.shape[0]) + math.sqrt(self.shape[1]))

    @cached_property
    def _detected(self) -> tuple[np.ndarray, np.ndarray]:
        """Outliers and overlaps, aligned with `signal`; the edge and 0 for a signal that does not show."""
        s, n = self.signal, max(self.shape)
        c = min(self.shape) / n
        if self.noise == 0:
            return s.copy(), np.where(s > 0, 1.0, 0.0)
        unit = self.noise * math.sqrt(n)
        theta = s / unit
        shows = theta > c**0.25
        t2 = np.where(shows, theta, 1.0 + c) ** 2
        place = unit * np.sqrt((1 + t2) * (c + t2) / t2)
        narrow, wide = 1 - c * (1 + t2) / (t2 * (t2 + c)), 1 - (c + t2) / (t2 * (t2 + 1))
        overlap = np.sqrt(np.maximum(narrow, 0) * np.maximum(wide, 0))
        return np.where(shows, place, self.edge), np.where(shows, overlap, 0.0)

    @property
    def outliers(self) -> Float[np.ndarray, " rank"]:
        """Singular value of T by which each signal mode shows (the bulk's edge if it does not)."""
        return self._detected[0]

    @property
    def overlaps(self) -> Float[np.ndarray, " rank"]:
        """|⟨u, û⟩⟨v, v̂⟩| of each signal mode with its outlier: c_k² of theory section 5."""
        return self._detected[1]

    @cached_property
    def bulk(self) -> tuple[np.ndarray, np.ndarray]:
        """Singular values of the bulk at the nodes of a quadrature, and how many of them each node stands for.

        The bulk is the noise on the complement of the detected directions, of shape (d_out − k, d_in − k): so the
        energy of T is that of A* and E together (the limit alone is off by k/d).
        """
        found = int(np.sum(self.overlaps > 0))
        rest = (self.shape[0] - found, self.shape[1] - found)
        if min(rest) == 0 or self.noise == 0:
            return np.zeros(1), np.full(1, float(min(rest)))
        bulk = linalg.marchenko_pastur(rest, _BULK_NODES)
        return self.noise * bulk.values, min(rest) * bulk.shares

    @cached_property
    def modes(self) -> ModeSpectrum:
        """Outliers and bulk as modes that train independently."""
        shows = self.overlaps > 0
        x, count = self.bulk
        return ModeSpectrum(
            shape=self.shape,
            values=np.concatenate([self.outliers[shows], x]),
            counts=np.concatenate([np.ones(int(shows.sum())), count]),
            projections=np.concatenate([(self.signal * self.overlaps)[shows], np.zeros(x.size)]),
            energy=float((self.signal**2).sum()),
            top=max(float(self.outliers[0]), self.edge),
        )

    def curves(self, threshold: Any, times: Any, *, start_variance: Any = 0.0) -> dict[str, np.ndarray]:
        """Return train and test error, stable rank and signal modes at flow times, from the mode curve (3.2).

            D·test = Σ s² − 2Σ m(a) s c² + Σ m(a)² + Σ_bulk m(x)²,   D·train = Σ (a − m(a))² + Σ_bulk (x − m(x))²

        with D = d_out d_in. A start A(0) of iid entries of variance n₀ adds n₀e^{−4τt} to both errors: exact in the
        lazy regime, where n₀ matters, and an approximation elsewhere. *Follows* from the lazy flow.

        Args:
            threshold: τ > 0; broadcast with the others, so that millions of cells make one call.
            times: flow times ≥ 0.
            start_variance: n₀ = σ⁴w (0: a start of zero).

        Returns:
            "train_error", "test_error", "stable_rank" of the broadcast shape, and "signal_modes" of that shape and
            (rank,).

        Raises:
            InvalidArgument: τ ≤ 0, a negative time or a negative variance.

        Examples:
            >>> spectrum = SpikedSpectrum(10**9, mean_signal_spectrum(10**9, 5))
            >>> curves = spectrum.curves(threshold=1e6, times=[0.0, 1e-8])
            >>> bool(curves["test_error"][1] < 0.02)
            True
        """
        tau, t, n0 = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (threshold, times, start_variance)))
        for name, values, fine in (("threshold", tau, tau > 0), ("times", t, t >= 0), ("start_variance", n0, n0 >= 0)):
            if not np.all(fine):
                must = "be positive" if name == "threshold" else "be non-negative"
                raise checks.InvalidArgument(name, must, f"its smallest entry is {np.min(values):g}")
        shows = self.overlaps > 0
        learned = np.where(shows, mode_curve(self.outliers, tau[..., None], t[..., None]), 0.0)
        return {**self.modes.errors(tau, t, n0), "signal_modes": learned}


@dataclass(frozen=True, eq=False)
class ModeSpectrum:
    """Modes of a target that train independently from a zero start: all that the errors depend on.

    Attributes:
        shape: (d_out, d_in).
        values: singular values x of the target.
        counts: how many modes each stands for.
        projections: ⟨u, A* v⟩ of each mode with the true matrix.
        energy: ‖A*‖_F².
        top: largest singular value.

    References:
        theory (3.2), section 5.
    """

    shape: tuple[int, int]
    values: Float[np.ndarray, " modes"]
    counts: Float[np.ndarray, " modes"]
    projections: Float[np.ndarray, " modes"]
    energy: float
    top: float

    @classmethod
    def of(cls, target: Any, signal: Any) -> Self:
        """Return the modes of an observed matrix whose truth is known, by its singular value decomposition.

        Examples:
            >>> import numpy as np
            >>> ModeSpectrum.of(np.diag([3.0, 1.0]), np.diag([2.0, 0.0])).projections.tolist()
            [2.0, 0.0]
        """
        t = checks.array("target", target, 2, dtype=np.float64)
        truth = checks.array("signal", signal, 2, dtype=np.float64, shape=t.shape)
        u, s, vt = np.linalg.svd(t, full_matrices=False)
        projections = np.einsum("ik,ij,kj->k", u, truth, vt, optimize=True)
        return cls((t.shape[0], t.shape[1]), s, np.ones(s.size), projections, float((truth**2).sum()), float(s[0]))

    def errors(self, tau: np.ndarray, t: np.ndarray, n0: np.ndarray) -> dict[str, np.ndarray]:
        """Return train_error, test_error and stable_rank for arrays of one shape; see `SpikedSpectrum.curves`."""
        columns = [v.reshape(-1, 1) for v in (tau, t, n0)]
        blocks = [self._block(*(c[i : i + _BLOCK] for c in columns)) for i in range(0, max(tau.size, 1), _BLOCK)]
        names = ("train_error", "test_error", "stable_rank")
        return {name: np.concatenate([b[k] for b in blocks]).reshape(tau.shape) for k, name in enumerate(names)}

    def active(self, tau: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return how many modes have grown above the threshold at given times."""
        grown = mode_curve(self.values, tau.reshape(-1, 1), t.reshape(-1, 1)) > tau.reshape(-1, 1)
        return (grown @ self.counts).reshape(tau.shape)

    def _block(self, tau: np.ndarray, t: np.ndarray, n0: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        learned = mode_curve(self.values, tau, t)
        entries = float(self.shape[0]) * self.shape[1]
        residue = (n0 * np.exp(-4 * tau * t))[:, 0]
        power = learned**2 @ self.counts
        train = (self.values - learned) ** 2 @ self.counts / entries + residue
        test = (self.energy - 2 * learned @ self.projections + power) / entries + residue
        top = self._top(mode_curve(self.top, tau, t)[:, 0], residue)
        size = power + entries * residue
        return train, test, np.divide(size, top**2, out=np.zeros_like(size), where=top > 0)

    def _top(self, mode: np.ndarray, residue: np.ndarray) -> np.ndarray:
        """Largest singular value of a mode plus independent noise of variance `residue` an entry."""
        d_out, d_in = self.shape
        noise = np.sqrt(residue) * (math.sqrt(d_out) + math.sqrt(d_in))
        above = mode > np.sqrt(residue) * (float(d_out) * d_in) ** 0.25
        safe = np.where(above, mode, 1.0)
        outlier = np.sqrt((safe**2 + residue * d_out) * (safe**2 + residue * d_in)) / safe
        return np.where(above, outlier, np.maximum(noise, mode))
