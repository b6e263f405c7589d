"""Closed form of the mixed dynamics for the quadratic cost C(A) = ½‖A − T‖_F², from any start (3.1).

From a start of zero the modes of T decouple, and each follows `mode_curve` (3.2), in NumPy; from any other the matrix
Riccati equation is solved by the kernels of `lindyn.solutions.riccati`, in JAX.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lindyn.solutions.modes import mode_curve
from lindyn.support import checks
from lindyn.support.bounds import SQUARED
from lindyn.support.precision import result_dtype, working_precision

if TYPE_CHECKING:
    from lindyn.solutions.riccati import Spectrum

_ROUNDING = 2e-14  # relative error that the form of order d may have; beyond, the form of order d_in + d_out


class MixedSolution:
    """The mixed dynamics from any start at any time, exactly: A(t), lower-left block of

        M(t) = M∞ + e^{−Ωt}[I + D₀Φ(t)]⁻¹D₀e^{−Ωt},   D₀ = M(0) − M∞,   M∞ = F + Ω,

    the solution of Ȧ = −√(AAᵀ + τ²)(A − T) − (A − T)√(AᵀA + τ²). Also exact for a network's flow from an
    orthogonal start (2.4). Two singular value decompositions when built; after that about 11 d³ flops a time, 30 d³
    where τ is below a hundredth of ‖T‖, and 2 d³ for a start of zero, whose modes decouple (3.2).

    Args:
        target: T, shape (d_out, d_in), any rectangle.
        threshold: τ ≥ 0; 0 is the balanced dynamics.
        start: A(0), same shape; zero if left out (then every mode follows `mode_curve`).

    Raises:
        InvalidArgument: shapes differ, entries are not finite, τ < 0, or a zero start at τ = 0, which never moves.

    References:
        theory (3.1); Riccati form as in Fukumizu (1998), Tarmoun et al. (2021), Braun et al. (2022).

    Examples:
        >>> import numpy as np
        >>> target = np.diag([3.0, 1.0])
        >>> solution = MixedSolution(target, threshold=0.1, start=[[0.0, 1.0], [0.2, 0.0]])
        >>> solution([0.0, 100.0]).round(6).tolist()
        [[[0.0, 1.0], [0.2, 0.0]], [[3.0, 0.0], [0.0, 1.0]]]
    """

    def __init__(self, target: Any, threshold: float, start: Any = None):
        target = checks.array("target", target, 2)
        self.threshold = checks.number("threshold", threshold, at_least=0, at_most=SQUARED)
        if start is not None:
            start = checks.array("start", start, 2, shape=target.shape)
            self.dtype = result_dtype(target, start)
            self.start = start.astype(self.dtype)
        else:
            self.dtype = target.dtype
            self.start = np.zeros_like(target)
        if self.threshold == 0 and not self.start.any():
            raise checks.InvalidArgument(
                "threshold",
                "be positive for a start of zero",
                "it is 0, and zero is a fixed point of the balanced dynamics",
                "give a start or a positive threshold",
            )
        self.target = target.astype(self.dtype)
        self._modes: Any = None
        if not self.start.any():
            self._modes = np.linalg.svd(self.target, full_matrices=False)
            return
        from lindyn.solutions import riccati

        scale = float(np.linalg.norm(self.target, 2)) + float(np.linalg.norm(self.start))
        self._largest_rate = scale + self.threshold
        rounding = np.finfo(self.dtype).eps * scale / self.threshold if self.threshold else np.inf
        form = riccati.half_angle if rounding < _ROUNDING else riccati.hermitised
        with working_precision(self.dtype):
            self._spectrum: Spectrum = form(self.target, self.start, self.dtype.type(self.threshold))

    @property
    def nbytes(self) -> int:
        """Bytes that the solution holds."""
        if self._modes is not None:
            return sum(part.nbytes for part in self._modes)
        import jax

        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._spectrum))

    def __call__(self, time: Any) -> Float[np.ndarray, "*times d_out d_in"]:
        """Return A at one flow time, shape (d_out, d_in), or at sorted times, shape (times, d_out, d_in)."""
        sorted_times = checks.times("time", time)
        with nullcontext() if self._modes is not None else working_precision(self.dtype):
            out = np.stack([self.at(t) for t in sorted_times])
        return out[0] if np.ndim(time) == 0 else out

    def at(self, time: float) -> Float[np.ndarray, "d_out d_in"]:
        """Return A at one time ≥ 0, inside the caller's precision context."""
        time = checks.number("time", time, at_least=0)
        if self._modes is not None:
            u, s, vt = self._modes
            return (u * mode_curve(s, self.threshold, time).astype(self.dtype)) @ vt
        if time < 1e-30 / self._largest_rate:  # nothing has moved, and 1/t would overflow
            return self.start
        from lindyn.solutions import riccati

        return np.asarray(riccati.matrix_at(self._spectrum, self.dtype.type(time)))
