"""Large-d limit of a signal in noise: spectra without matrices, and the error curves that follow (theory section 5).

T = A* + E is a spiked random matrix: each singular value of A* above the edge of detectability shows as an outlier of
T with a known place and known overlaps; all else is Marchenko–Pastur bulk. Where modes of A* are many, or too weak to
stand apart, the bulk knows of A* too, and the deterministic equivalent (5.1) takes the place of this rule. Fed to the
mode curve (3.2) either gives the train and test error of training at any time, for any dimension.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lindyn.prediction.equivalent import deterministic_equivalent
from lindyn.solutions.modes import mode_curve
from lindyn.support import checks, linalg
from lindyn.support.bounds import TO_THE_FOURTH
from lindyn.support.linalg import energy_rank
from lindyn.support.namespaces import arrays, demand, quantities, within

if TYPE_CHECKING:
    from jaxtyping import Float

_BULK_NODES = 32
# modes of A* stand apart where they are few and each is well above detection: there the rule of outliers and the
# deterministic equivalent agree to O(K/d), and the rule costs nothing
FEW, CLEAR = 1 / 20, 2.0  # largest K/min(d_out, d_in), smallest θ/c^¼
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
    return checks.number("scale", scale, above=0, at_most=TO_THE_FOURTH) * _mean_spectrum(d_out, d_in, k)


@cache
def _mean_spectrum(d_out: int, d_in: int, k: int) -> np.ndarray:
    # an average that no key of a caller reaches: its own seed keeps every number that was published with it
    rng = np.random.default_rng(0)
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
        s = np.sort(checks.squarable("signal", checks.array("signal", signal, 1, dtype=np.float64)))[::-1]
        if s[-1] < 0 or s.size > min(self.shape):
            raise checks.InvalidArgument(
                "signal",
                f"hold at most {min(self.shape)} non-negative singular values",
                f"it holds {s.size}, the smallest {s[-1]:g}",
            )
        object.__setattr__(self, "signal", s)
        noise = checks.number("noise", noise, at_least=0, at_most=TO_THE_FOURTH)
        if 0 < noise < 1 / TO_THE_FOURTH:
            raise checks.InvalidArgument(
                "noise", f"be 0, or at least {1 / TO_THE_FOURTH:g}", f"it is {noise:g}", "set it to 0"
            )
        object.__setattr__(self, "noise", noise)

    @property
    def edge(self) -> float:
        """Largest singular value of the bulk, noise(√d_out + √d_in)."""
        return self.noise * (math.sqrt(self.shape[0]) + math.sqrt(self.shape[1]))

    @cached_property
    def _detected(self) -> tuple[np.ndarray, np.ndarray]:
        return outlier_of(self.signal, self.noise, self.shape)

    @cached_property
    def separate(self) -> bool:
        """Whether the modes of A* stand apart: at most one for twenty dimensions, each at twice the detectable θ."""
        s = self.signal[self.signal > 0]
        detectable = self.noise * (float(self.shape[0]) * self.shape[1]) ** 0.25
        return bool(s.size <= FEW * min(self.shape) and np.all(s >= CLEAR * detectable)) or self.noise == 0

    @property
    def outliers(self) -> Float[np.ndarray, " rank"]:
        """Singular value of T by which each signal mode shows by itself (the edge of the noise if it does not)."""
        return self._detected[0]

    @property
    def overlaps(self) -> Float[np.ndarray, " rank"]:
        """|⟨u, û⟩⟨v, v̂⟩| of each signal mode with its outlier: c_k² of theory section 5."""
        return self._detected[1]

    @cached_property
    def bulk(self) -> tuple[np.ndarray, np.ndarray]:
        """Singular values of the noise around separate modes, at nodes of a quadrature, and how many each stands for.

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
        """Singular values of T as modes that train independently: outliers and bulk, or those of (5.1)."""
        energy = float((self.signal**2).sum())
        if not self.separate and self.signal.any():
            found = deterministic_equivalent(self.shape, self.signal, self.noise)
            # the density is a mean over draws, and its edge above most of them: half a mode lies above the typical top
            top = float(np.interp(0.5, np.cumsum(found.counts) - found.counts / 2, found.values))
            return ModeSpectrum(self.shape, found.values, found.counts, found.projections, energy, top)
        shows = self.overlaps > 0
        x, count = self.bulk
        return ModeSpectrum(
            shape=self.shape,
            values=np.concatenate([self.outliers[shows], x]),
            counts=np.concatenate([np.ones(int(shows.sum())), count]),
            projections=np.concatenate([(self.signal * self.overlaps)[shows], np.zeros(x.size)]),
            energy=energy,
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
            (rank,): the curve of each signal mode that shows by itself, 0 for the others. JAX arrays where an argument
            is one; they can be differentiated and vmapped.

        Raises:
            InvalidArgument: τ ≤ 0, a negative time or a negative variance.

        Examples:
            >>> spectrum = SpikedSpectrum(10**9, mean_signal_spectrum(10**9, 5))
            >>> curves = spectrum.curves(threshold=1e6, times=[0.0, 1e-8])
            >>> bool(curves["test_error"][1] < 0.02)
            True
        """
        xp, (tau, t, n0) = quantities(threshold=threshold, times=times, start_variance=start_variance)
        demand("threshold", tau, tau > 0, "be positive")
        within(threshold=tau, times=t, start_variance=n0)
        tau, t, n0 = xp.broadcast_arrays(tau, t, n0)
        _, (shows, places) = arrays(self.overlaps > 0, self.outliers)
        learned = mode_curve(places, tau[..., None], t[..., None]) * xp.asarray(shows, dtype=tau.dtype)
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

    def errors(self, tau: Any, t: Any, n0: Any) -> dict[str, Any]:
        """Return train_error, test_error and stable_rank for arrays of one shape; see `SpikedSpectrum.curves`."""
        xp, (tau, t, n0) = arrays(tau, t, n0)
        columns = [xp.reshape(v, (-1, 1)) for v in (tau, t, n0)]
        blocks = [self._block(xp, *(c[i : i + _BLOCK] for c in columns)) for i in range(0, max(t.size, 1), _BLOCK)]
        names = ("train_error", "test_error", "stable_rank")
        return {name: xp.reshape(xp.concat([b[k] for b in blocks]), t.shape) for k, name in enumerate(names)}

    def errors_of(self, learned: np.ndarray, entries: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return train error, test error and ‖A‖_F² where the modes have learned m, (..., modes); see `mode_errors`."""
        return mode_errors(learned, self.values, self.counts, self.projections, self.energy, entries)

    def active(self, tau: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return how many modes have grown above the threshold at given times."""
        grown = mode_curve(self.values, tau.reshape(-1, 1), t.reshape(-1, 1)) > tau.reshape(-1, 1)
        return (grown @ self.counts).reshape(tau.shape)

    def _block(self, xp: Any, tau: Any, t: Any, n0: Any) -> tuple[Any, Any, Any]:
        values, counts, projections = (
            xp.asarray(v, dtype=tau.dtype) for v in (self.values, self.counts, self.projections)
        )
        learned = mode_curve(values, tau, t)
        residue = start_residue(n0, tau, t)[:, 0]
        entries = float(self.shape[0]) * self.shape[1]
        train, test, power = mode_errors(learned, values, counts, projections, self.energy, entries)
        stable = rank_in_noise(power, mode_curve(self.top, tau, t)[:, 0], residue, self.shape)
        return train + residue, test + residue, stable


def start_residue(start_variance: Any, threshold: Any, time: Any) -> Any:
    """Return what is left of a random start in both errors, n₀e^{−4τt}: the lazy decay of iid entries.

    Args:
        start_variance: n₀ = σ⁴w.
        threshold: τ.
        time: flow time.

    References:
        theory section 4; *follows* from (2.1) at τ ≫ s.
    """
    xp, (n0, tau, t) = arrays(start_variance, threshold, time)
    return n0 * xp.exp(-4 * tau * t)


def noisy_top(mode: Any, residue: Any, shape: tuple[Any, Any]) -> Any:
    """Return the largest singular value of a mode plus independent noise of variance `residue` an entry.

    Args:
        mode: singular value of the mode.
        residue: variance of an entry of the noise.
        shape: (d_out, d_in).

    References:
        theory section 5; Benaych-Georges & Nadakuditi (2012).
    """
    xp, (m, left, d_out, d_in) = arrays(mode, residue, *shape)
    spread = xp.sqrt(xp.where(left > 0, left, 1.0)) * (left > 0)  # its slope at 0 stays finite
    above = m > spread * xp.sqrt(xp.sqrt(d_out * d_in))
    safe = xp.where(above, m, 1.0)
    outlier = xp.sqrt((safe**2 + left * d_out) * (safe**2 + left * d_in)) / safe
    return xp.where(above, outlier, xp.maximum(spread * (xp.sqrt(d_out) + xp.sqrt(d_in)), m))


def rank_in_noise(power: Any, mode: Any, residue: Any, shape: tuple[Any, Any]) -> Any:
    """Return the stable rank of learned modes plus independent noise: (Σm² + Dr)/s₁², 1 at least, 0 for zero.

    Args:
        power: Σm² of the learned modes.
        mode: the largest of them.
        residue: r, variance of an entry of the noise.
        shape: (d_out, d_in); D = d_out d_in, and s₁ as in `noisy_top`, which holds for large d.

    References:
        theory section 5.

    Examples:
        >>> float(rank_in_noise(8.0, 2.0, 0.0, (10, 10)))
        2.0
    """
    xp, (size, m, left, d_out, d_in) = arrays(power, mode, residue, *shape)
    stable = energy_rank(size + d_out * d_in * left, noisy_top(m, left, (d_out, d_in)))
    return xp.where(stable > 0, xp.maximum(stable, 1.0), 0.0)


def mode_errors(
    learned: Any, values: Any, counts: Any, projections: Any, energy: Any, entries: Any
) -> tuple[Any, Any, Any]:
    """Return train and test error per entry, and ‖A‖_F², of modes that train independently.

        train = Σ n(x − m)²/D,    test = (‖A*‖_F² − 2Σ m π + Σ n m²)/D,    D = d_out d_in.

    Args:
        learned: m of each mode, (..., modes).
        values: x, its singular value in the target.
        counts: n, how many modes it stands for.
        projections: π, the sum of their ⟨u, A*v⟩.
        energy: ‖A*‖_F².
        entries: D.

    References:
        theory section 5.

    Examples:
        >>> train, test, power = mode_errors(*(np.array([v]) for v in (2.0, 3.0, 1.0, 2.5)), 6.0, 4.0)
        >>> float(train), float(test), float(power)
        (0.25, 0.0, 4.0)
    """
    power = learned**2 @ counts
    return (values - learned) ** 2 @ counts / entries, (energy - 2 * learned @ projections + power) / entries, power


def outlier_of(signal: Any, noise: Any, shape: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the singular value of T by which each mode of A* shows by itself, and its overlap.

    Formulas in `SpikedSpectrum`. A mode that does not show gets the edge of the noise and 0.

    Args:
        signal: s ≥ 0.
        noise: ν ≥ 0.
        shape: (d_out, d_in).

    References:
        theory section 5; Benaych-Georges & Nadakuditi (2012).

    Examples:
        >>> place, overlap = outlier_of([2000.0, 500.0], 1.0, (10**6, 10**6))
        >>> place.tolist(), overlap.tolist()
        ([2500.0, 2000.0], [0.75, 0.0])
    """
    xp, (s, level, d_out, d_in) = arrays(signal, noise, *shape)
    n = xp.maximum(d_out, d_in)
    c = xp.minimum(d_out, d_in) / n
    noisy = level > 0
    unit = xp.where(noisy, level, 1.0) * xp.sqrt(n)
    theta = s / unit
    shows = theta > c**0.25
    t2 = xp.where(shows, theta, 1.0 + c) ** 2
    place = unit * xp.sqrt((1 + t2) * (c + t2) / t2)
    narrow, wide = 1 - c * (1 + t2) / (t2 * (t2 + c)), 1 - (c + t2) / (t2 * (t2 + 1))
    product = xp.maximum(narrow, 0.0) * xp.maximum(wide, 0.0)
    overlap = xp.where(product > 0, xp.sqrt(xp.where(product > 0, product, 1.0)), 0.0)
    edge = level * (xp.sqrt(d_out) + xp.sqrt(d_in))
    clean = xp.where(s > 0, 1.0, 0.0)
    return (
        xp.where(noisy, xp.where(shows, place, edge), s),
        xp.where(noisy, xp.where(shows, overlap, 0.0), clean),
    )
