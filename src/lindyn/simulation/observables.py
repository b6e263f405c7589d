"""Observables: named functions of the state, evaluated while a run goes on, so that states need not be kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.support import checks
from lindyn.support.labels import OF_STATES

if TYPE_CHECKING:
    from lindyn.simulation.trajectory import Trajectory


class State(eqx.Module):
    """What an observable sees, inside JAX.

    Attributes:
        matrix: A, shape (d_out, d_in).
        w1: reduced first layer (r, d_in), or None for dynamics of the matrix alone.
        w2: reduced second layer (d_out, r), or None.
        gram_in: C1 = W1ᵀW1, or what the dynamics has in its place.
        gram_out: C2 = W2W2ᵀ, likewise.
        time: flow time.
        threshold: τ at that time.
        task: the task.
        start: the state at time 0 (None in itself).
        aligned: value of a reference series at this time, for observables that compare with one.
    """

    matrix: Any
    w1: Any
    w2: Any
    gram_in: Any
    gram_out: Any
    time: Any
    threshold: Any
    task: Any
    start: State | None = None
    aligned: Any = None

    @property
    def singular_values(self) -> Float[Array, " modes"]:
        """Singular values of A, largest first."""
        return jnp.linalg.svd(self.matrix, compute_uv=False)


@dataclass(frozen=True)
class Observable:
    """A named function of the state.

    Args:
        name: name of the variable in the trajectory.
        function: from `State` to an array of fixed shape, written with jax.numpy.
        dims: names of that array's dimensions.
        description: one line, kept as the variable's long name.
        unit: "1" if dimensionless; "target" for the units of the target's entries or singular values.
        needs_network: whether it reads the layers.
        align: function of a flow time that gives the reference array to compare with at that time.

    Examples:
        >>> import jax.numpy as jnp
        >>> trace = Observable("trace", lambda state: jnp.trace(state.matrix), description="trace of A")
        >>> trace.name
        'trace'
    """

    name: str
    function: Callable[[State], Any]
    dims: tuple[str, ...] = ()
    description: str = ""
    unit: str = "1"
    needs_network: bool = False
    align: Callable[[float], Any] | None = None


def _stable_rank(s: State) -> Any:
    top = s.singular_values[0] ** 2
    return jnp.where(top > 0, jnp.sum(s.matrix**2) / jnp.where(top > 0, top, 1), 0)


def _effective_rank(s: State) -> Any:
    values = s.singular_values
    total = jnp.sum(values)
    p = values / jnp.where(total > 0, total, 1)
    entropy = -jnp.sum(jnp.where(p > 0, p * jnp.log(jnp.where(p > 0, p, 1)), 0))
    return jnp.where(total > 0, jnp.exp(entropy), 0)


def _activity(s: State) -> Any:
    values = s.singular_values
    total = jnp.hypot(values, s.threshold)
    return jnp.where(total > 0, values / jnp.where(total > 0, total, 1), 0)


def _balancedness(s: State) -> Any:
    difference = jnp.linalg.norm(s.w1 @ s.w1.T - s.w2.T @ s.w2)
    return difference / jnp.maximum(jnp.sum(s.w1**2) + jnp.sum(s.w2**2), jnp.finfo(s.w1.dtype).tiny)


def _imbalance_drift(s: State) -> Any:
    start = s.start if s.start is not None else s
    change = (s.w1 @ s.w1.T - s.w2.T @ s.w2) - (start.w1 @ start.w1.T - start.w2.T @ start.w2)
    size = jnp.sum(start.w1**2) + jnp.sum(start.w2**2)
    return jnp.linalg.norm(change) / jnp.maximum(size, jnp.finfo(s.w1.dtype).tiny)


def _kernel_norm(gram_in: Any, gram_out: Any) -> Any:
    """Frobenius norm of G ↦ C2 G + G C1 as a matrix of order d_in d_out."""
    d_in, d_out = len(gram_in), len(gram_out)
    square = d_in * jnp.sum(gram_out**2) + d_out * jnp.sum(gram_in**2)
    return jnp.sqrt(square + 2 * jnp.trace(gram_in) * jnp.trace(gram_out))


def _ntk_drift(s: State) -> Any:
    start = s.start if s.start is not None else s
    change = _kernel_norm(s.gram_in - start.gram_in, s.gram_out - start.gram_out)
    return change / jnp.maximum(_kernel_norm(start.gram_in, start.gram_out), jnp.finfo(s.matrix.dtype).tiny)


def singular_values(top: int | None = None) -> Observable:
    """Return the observable of the `top` largest singular values of A (all if None), dimension "mode".

    Examples:
        >>> singular_values(3).dims
        ('mode',)
    """
    if top is not None:
        checks.integer("top", top, at_least=1)
    label = OF_STATES["singular_values"]
    return Observable(
        "singular_values",
        lambda s: s.singular_values[:top],
        ("mode",),
        label.description + (f", {top} largest" if top else ""),
        label.unit,
    )


def alignment(reference: Any, rank: int | None = None) -> Observable:
    """Return how much of each mode of a reference matrix the leading singular subspaces of A contain.

    For the k-th singular pair (u*, v*) of the reference: ‖U_KᵀU u*‖·‖V_Kᵀ v*‖ in [0, 1], with U_K, V_K the K leading
    singular vectors of A, K = `rank`. It is √(K/d_out · K/d_in) on average for a random A, and 1 once learned.

    Args:
        reference: matrix of A's shape, such as `task.reference()`.
        rank: K; left out, the numerical rank of the reference.

    Examples:
        >>> import numpy as np
        >>> alignment(np.eye(3), rank=2).dims
        ('mode_of_reference',)
    """
    ref = checks.array("reference", reference, 2)
    u, s, vt = np.linalg.svd(ref, full_matrices=False)
    numerical = int(np.sum(s > s[0] * max(ref.shape) * np.finfo(s.dtype).eps))
    k = checks.integer("rank", numerical if rank is None else rank, at_least=1, at_most=s.size)
    left, right = u[:, :k], vt[:k].T

    def function(state: State) -> Any:
        au, _, avt = jnp.linalg.svd(state.matrix, full_matrices=False)
        return jnp.linalg.norm(au[:, :k].T @ left, axis=0) * jnp.linalg.norm(avt[:k] @ right, axis=0)

    return Observable(
        "alignment",
        function,
        ("mode_of_reference",),
        f"share of each reference mode in the {k} leading singular subspaces of A",
    )


def distance_to(reference: Trajectory) -> Observable:
    """Return the squared distance per entry, ‖A − B‖_F²/(d_out d_in), to a trajectory that saved its "matrix".

    Raises:
        InvalidArgument: the reference did not save "matrix"; at run time, a time that it does not have.

    References:
        theory section 4 (the fourth panel of the paper's Figure 2).
    """
    if "matrix" not in reference.data:
        raise checks.InvalidArgument(
            "reference",
            "hold the observable 'matrix'",
            f"it holds {', '.join(reference.data)}",
            "run it with observables=[…, 'matrix']",
        )
    times, matrices = reference.time, reference.data["matrix"]

    def align(time: float) -> Any:
        k = int(np.argmin(np.abs(times - time)))
        if not np.isclose(times[k], time, rtol=1e-6, atol=1e-9 * times[-1]):
            raise checks.InvalidArgument(
                "reference", f"have a state at time {time:g}", f"its nearest is at {times[k]:g}", "use equal times"
            )
        return matrices[k]

    return Observable(
        "distance",
        lambda s: jnp.mean((s.matrix - s.aligned) ** 2),
        (),
        f"squared distance per entry to {reference.label}",
        "target²",
        align=align,
    )


def _labelled(
    name: str, function: Callable[[State], Any], dims: tuple[str, ...] = (), *, needs_network: bool = False
) -> Observable:
    return Observable(name, function, dims, *OF_STATES[name], needs_network)


BUILT_IN: dict[str, Observable] = {
    o.name: o
    for o in (
        _labelled("train_error", lambda s: s.task.train_error(s.matrix)),
        _labelled("test_error", lambda s: s.task.test_error(s.matrix)),
        _labelled("cost", lambda s: s.task.cost(s.matrix)),
        singular_values(),
        _labelled("stable_rank", _stable_rank),
        _labelled("effective_rank", _effective_rank),
        _labelled("activity", _activity, ("mode",)),
        _labelled("balancedness", _balancedness, needs_network=True),
        _labelled("imbalance_drift", _imbalance_drift, needs_network=True),
        _labelled("ntk_drift", _ntk_drift),
        _labelled("matrix", lambda s: s.matrix, ("row", "column")),
        _labelled("w1", lambda s: s.w1, ("hidden", "column"), needs_network=True),
        _labelled("w2", lambda s: s.w2, ("row", "hidden"), needs_network=True),
    )
}

Wanted = str | Observable | Callable[[State], Any]


def resolve(wanted: Sequence[Wanted] | Wanted | None, *, has_truth: bool, is_network: bool) -> tuple[Observable, ...]:
    """Turn names, observables and plain functions into observables; None means errors and singular values."""
    if wanted is None:
        wanted = ["train_error", *(["test_error"] if has_truth else []), "singular_values"]
    if isinstance(wanted, str | Observable) or callable(wanted):
        wanted = [wanted]
    found: list[Observable] = []
    for item in wanted:
        if isinstance(item, str):
            checks.choice("observables", item, sorted(BUILT_IN))
            observable = BUILT_IN[item]
        elif isinstance(item, Observable):
            observable = item
        elif callable(item) and getattr(item, "__name__", "<lambda>") != "<lambda>":
            observable = Observable(item.__name__, item, (), (inspect.getdoc(item) or "").partition("\n")[0])
        else:
            raise checks.InvalidArgument(
                "observables",
                "hold names, Observable objects or named functions of the state",
                f"it holds {item!r}",
                "wrap it as Observable(name, function)",
            )
        if observable.name == "test_error" and not has_truth:
            raise checks.InvalidArgument(
                "observables", "not ask for 'test_error'", "the task knows no truth", "give the task a `signal`"
            )
        if observable.needs_network and not is_network:
            raise checks.InvalidArgument(
                "observables",
                f"not ask for {observable.name!r}",
                "it reads the layers, and this dynamics has a matrix only",
                "simulate a TwoLayer network",
            )
        if any(o.name == observable.name for o in found):
            raise checks.InvalidArgument("observables", "have distinct names", f"{observable.name!r} comes twice")
        found.append(observable)
    return tuple(found)
