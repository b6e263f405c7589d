"""The flow of any two factors on C(A) = ½‖A − T‖_F², for starts without a closed form and for weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from lindyn.solutions.factor_motion import AbstractFactors, Rows
from lindyn.support import checks

_MOST_EVALUATIONS = 60_000  # of the velocity: a few seconds for small factors


class FactorFlow(AbstractFactors):
    """The flow of any two factors, integrated: V̇1 = −W2ᵀG − μ₁W1, V̇2 = −GW1ᵀ − μ₂W2, G = W2W1 − T.

    For starts that are not λ-balanced, where (3.4) is approximate, and for weight decay, under which D(t) =
    D(0)e^{−2μt} (2.8). Runge–Kutta of order 8 in the singular basis of T: O((k + w)w²) an evaluation, k the rank of
    T, and some 15 evaluations for each √(s₁² + τ²)Δt ≈ 1.

    Args:
        target: T, shape (d_out, d_in), a pair (left, right) of factors with T = left·right, or its `target_modes`.
        first: W1(0), shape (w, d_in).
        second: W2(0), shape (d_out, w).
        weight_decay: μ ≥ 0 on both layers, or a pair (μ₁, μ₂), per unit of flow time.
        rtol: relative tolerance of a step.

    Raises:
        InvalidArgument: shapes that do not chain, entries that are not finite, a start of zero, or μ < 0.

    References:
        theory (1.1), (2.8).

    Examples:
        >>> import numpy as np
        >>> first = np.array([[1.0, 0.0], [0.0, 2.0]])  # D = diag(1, 4): no closed form
        >>> flow = FactorFlow(np.diag([3.0, 2.0]), first, np.zeros((2, 2)))
        >>> flow.singular_values([0.1, 9.0]).round(4).tolist()
        [[0.6701, 0.3008], [3.0, 2.0]]
    """

    def __init__(
        self,
        target: Any,
        first: Any,
        second: Any,
        *,
        weight_decay: float | tuple[float, float] = 0.0,
        rtol: float = 1e-12,
    ):
        super().__init__(target, first, second)
        decays = weight_decay if isinstance(weight_decay, tuple) else (weight_decay, weight_decay)
        if len(decays) != 2:
            raise checks.InvalidArgument(
                "weight_decay", "be a number or a pair, one for each layer", f"it is {checks.shown(weight_decay)}"
            )
        self._decays = [checks.number("weight_decay", mu, at_least=0) for mu in decays]
        self._rtol = checks.number("rtol", rtol, above=0)
        self.threshold = abs(self._mean)

    def _states(self, times: np.ndarray) -> Iterator[Rows]:
        from scipy.integrate import DOP853

        s, (mu_in, mu_out) = self.target_values[:, None], self._decays
        shape = self._start.shape

        def velocity(_: float, flat: np.ndarray) -> np.ndarray:
            inner, outer, rest_in, rest_out = self._split(flat.reshape(shape))
            gram_in = inner.T @ inner + rest_in.T @ rest_in + mu_out * np.eye(shape[1])
            gram_out = outer.T @ outer + rest_out.T @ rest_out + mu_in * np.eye(shape[1])
            return np.concatenate(
                [s * outer - inner @ gram_out, s * inner - outer @ gram_in, -rest_in @ gram_out, -rest_out @ gram_in]
            ).ravel()

        atol = 1e-3 * self._rtol * float(np.max(np.abs(self._start)))
        solver = DOP853(velocity, 0.0, self._start.ravel(), times[-1], rtol=self._rtol, atol=atol)
        between = None
        for time in times:
            while solver.t < time:
                if solver.nfev > _MOST_EVALUATIONS or solver.status == "failed":
                    raise checks.InvalidArgument(
                        "time",
                        f"be reached in {_MOST_EVALUATIONS:,} evaluations of the velocity",
                        f"they end at {solver.t:.4g} of {time:.4g}",
                        "ask for an earlier time, or raise `rtol`",
                    )
                with np.errstate(over="ignore", invalid="ignore"):  # then the solver fails, and says so
                    solver.step()
                between = None
            if between is None and time > 0:
                between = solver.dense_output()
            yield self._start if between is None or time == 0 else between(time).reshape(shape)
