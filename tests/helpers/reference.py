"""Independent implementations to compare with: plain NumPy, SciPy and mpmath, written from the equations."""

from collections.abc import Callable

import mpmath
import numpy as np
from scipy.integrate import solve_ivp


def relative(actual, expected) -> float:
    """Return ‖actual − expected‖_F / ‖expected‖_F."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def worst(actual, expected) -> float:
    """Return the largest relative error along the first axis."""
    assert len(actual) == len(expected)
    return max(relative(a, b) for a, b in zip(actual, expected, strict=True))


def slope(x, y) -> float:
    """Return the exponent p of a power law y ∝ x^p, by least squares in logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def orthogonal(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a uniformly random orthogonal matrix."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def matrix_with(singular_values, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a matrix with given singular values and random singular vectors."""
    s = np.asarray(singular_values, float)
    return (orthogonal(shape[0], rng)[:, : s.size] * s) @ orthogonal(shape[1], rng)[: s.size]


def target_of(shape: tuple[int, int], seed: int = 0, largest: float = 3.0) -> np.ndarray:
    """Return a well-separated target of full rank."""
    return matrix_with(np.linspace(largest, largest / 3, min(shape)), shape, np.random.default_rng(seed))


def layers(shape: tuple[int, int], width: int, seed: int = 0, threshold: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return iid Gaussian W1 (w, d_in) and W2 (d_out, w) of variance threshold/w."""
    rng, (d_out, d_in) = np.random.default_rng(seed), shape
    deviation = np.sqrt(threshold / width)
    return deviation * rng.standard_normal((width, d_in)), deviation * rng.standard_normal((d_out, width))


def roots(matrix, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Return √(AAᵀ + τ²) and √(AᵀA + τ²) from the full singular value decomposition."""
    u, s, vt = np.linalg.svd(matrix)
    left, right = (np.hypot(np.pad(s, (0, n - s.size)), tau) for n in matrix.shape)
    return (u * left) @ u.T, (vt.T * right) @ vt


def mixed_velocity(matrix, gradient, tau: float) -> np.ndarray:
    """Return −√(AAᵀ + τ²) G − G √(AᵀA + τ²)."""
    left, right = roots(matrix, tau)
    return -left @ gradient - gradient @ right


def integrate(velocity: Callable, start, times, *, rtol: float = 1e-13, atol: float = 1e-15) -> np.ndarray:
    """Return the states at sorted times of ẏ = velocity(t, y), y(0) = start, by SciPy's DOP853, time by time."""
    state, now, out = np.asarray(start, float), 0.0, []
    for time in times:
        if time > now:
            solution = solve_ivp(
                lambda t, y: velocity(t, y.reshape(np.shape(start))).ravel(),
                (now, time),
                state.ravel(),
                method="DOP853",
                rtol=rtol,
                atol=atol,
            )
            assert solution.success
            state, now = solution.y[:, -1].reshape(np.shape(start)), time
        out.append(state)
    return np.stack(out)


def mixed_flow(gradient: Callable, tau: float, start, times, *, decay: float = 0.0) -> np.ndarray:
    """Integrate (2.1), with weight decay as in (2.8), for any cost given by its gradient."""

    def velocity(time, matrix):
        tau_now = tau * np.exp(-2 * decay * time)
        return mixed_velocity(matrix, gradient(matrix), tau_now) - 2 * decay * matrix

    return integrate(velocity, start, times, atol=1e-14 * min(tau, 1.0) if tau else 1e-15)


def textbook_mixed(target, tau: float, start, time: float) -> np.ndarray:
    """Return (3.1) evaluated as it is usually written, with one LU solve."""
    (d_out, d_in), zeros = target.shape, np.zeros

    def blocks(a, upper, lower):
        return np.block([[upper, a.T], [a, lower]])

    f, p = np.linalg.eigh(blocks(target, zeros((d_in, d_in)), zeros((d_out, d_out))))
    psi = np.hypot(f, tau)
    left, right = roots(start, tau)
    d0 = p.T @ blocks(start, right, left) @ p - np.diag(f + psi)
    fall, phi = np.exp(-psi * time), -np.expm1(-2 * psi * time) / (2 * psi)
    m = np.diag(f + psi) + fall[:, None] * np.linalg.solve(np.eye(f.size) + d0 * phi, d0 * fall)
    return (p @ m @ p.T)[d_in:, :d_in]


def precise_mixed(target, tau: float, start, times, digits: int = 120) -> np.ndarray:
    """Return A(t) of (2.1) with many digits: M = Y X⁻¹, X = C − FS + S M₀, Y = τ²S + (C + FS) M₀.

    C = cosh Ωt, S = Ω⁻¹ sinh Ωt, Ω² = F² + τ²: the linear form of the Riccati equation, whose growing exponentials
    only many digits survive.
    """
    d_out, d_in = target.shape
    n = d_in + d_out
    with mpmath.workdps(digits):
        tau = mpmath.mpf(tau)

        def symmetric(matrix, function):
            e, q = mpmath.eigsy(matrix)
            return q * mpmath.diag([function(x) for x in e]) * q.T

        def paired(a):
            out = mpmath.zeros(n, n)
            for i in range(d_out):
                for j in range(d_in):
                    out[d_in + i, j] = out[j, d_in + i] = mpmath.mpf(float(a[i, j]))
            return out

        def root(x):
            return mpmath.sqrt(x**2 + tau**2)

        f, f0 = paired(target), paired(start)
        m0 = f0 + symmetric(f0, root)
        out = []
        for time in times:
            t = mpmath.mpf(float(time))
            cosh = symmetric(f, lambda x, t=t: mpmath.cosh(root(x) * t))
            sinh = symmetric(f, lambda x, t=t: mpmath.sinh(root(x) * t) / root(x))
            x, y = cosh - f * sinh + sinh * m0, tau**2 * sinh + (cosh + f * sinh) * m0
            m = y * mpmath.inverse(x)
            out.append([[float(m[d_in + i, j]) for j in range(d_in)] for i in range(d_out)])
    return np.array(out)
