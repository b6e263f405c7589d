"""Observables: named functions of the state, evaluated while a run goes on, so that states need not be kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lindyn.methods.engine import KernelTerms
from lindyn.simulation import kernel_observables as kernels
from lindyn.solutions.thresholds import activity_of
from lindyn.support import checks
from lindyn.support.labels import OF_COLLAPSE, OF_STATES
from lindyn.support.linalg import effective_rank, numerical_rank, stable_rank
from lindyn.tasks.task import Measure

if TYPE_CHECKING:
    from lindyn.simulation.trajectory import Trajectory


class State(eqx.Module):
    """What an observable sees, inside JAX.

    Attributes:
        matrix: A, shape (d_out, d_in).
        layers: reduced layers (W_1, …, W_L), or None for dynamics of the matrix alone.
        kernel_terms: the tangent kernel as pairs (out, in) of G ↦ Σ out·G·in, None standing for the identity; None
            where the motion does not state it.
        time: flow time.
        threshold: τ at that time.
        task: the task.
        start: the state at time 0 (None in itself).
        aligned: value of a reference series at this time, for observables that compare with one.
    """

    matrix: Any
    layers: tuple[Any, ...] | None
    kernel_terms: KernelTerms | None
    time: Any
    threshold: Any
    task: Any
    start: State | None = None
    aligned: Any = None

    @property
    def singular_values(self) -> Float[Array, " modes"]:
        """Singular values of A, largest first."""
        return jnp.linalg.svd(self.matrix, compute_uv=False)

    @property
    def w1(self) -> Float[Array, "r d_in"]:
        """The reduced first layer."""
        return self.known_layers[0]

    @property
    def w2(self) -> Float[Array, "_ r"]:
        """The reduced second layer."""
        return self.known_layers[1]

    @property
    def gram_in(self) -> Float[Array, "d_in d_in"]:
        """C1 = W1ᵀW1, or what the dynamics has in its place; at any depth P_LᵀP_L of what stands below layer L."""
        return self.kernel[-1][1]

    @property
    def gram_out(self) -> Float[Array, "d_out d_out"]:
        """C2 = W2W2ᵀ, likewise; at any depth S_1S_1ᵀ of what stands above layer 1."""
        return self.kernel[0][0]

    @property
    def kernel(self) -> KernelTerms:
        """The tangent kernel, for observables that need it."""
        if self.kernel_terms is None:
            raise checks.InvalidArgument(
                "observables",
                "not ask for the tangent kernel",
                "this motion does not state its C1 and C2",
                "define grams(self, matrix, threshold) on the dynamics",
            )
        return self.kernel_terms

    @property
    def known_layers(self) -> tuple[Any, ...]:
        """The layers, for observables that need them."""
        if self.layers is None:
            raise checks.InvalidArgument(
                "observables", "not read the layers", "this motion has a matrix only", "simulate a network"
            )
        return self.layers


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

    def __post_init__(self) -> None:
        """Refuse what no trajectory can hold."""
        for name in ("name", "description", "unit"):
            checks.text(name, getattr(self, name))
        if not self.name:
            raise checks.InvalidArgument("name", "be a word", "it is empty")
        for name in ("function", "align"):
            value = getattr(self, name)
            if not callable(value) and (value is not None or name == "function"):
                raise checks.InvalidArgument(name, "be a function", f"it is {checks.shown(value)}")
        checks.flag("needs_network", self.needs_network)
        dims = tuple(checks.text("dims", d) for d in checks.listed("dims", self.dims, "a tuple of names"))
        object.__setattr__(self, "dims", dims)


def _activity(s: State) -> Any:
    return activity_of(s.singular_values, s.threshold)


def _neighbours(layers: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """W_lW_lᵀ and W_{l+1}ᵀW_{l+1} of each pair of neighbouring layers, whose difference the flow conserves (1.5)."""
    return [(below @ below.T, above.T @ above) for below, above in pairwise(layers)]


def _by_pair(values: list[Any]) -> Any:
    """One value where there is one pair of layers, else a vector."""
    kernels.require_pairs(len(values))
    return values[0] if len(values) == 1 else jnp.stack(values)


def _balancedness(s: State) -> Any:
    def of(below: Any, above: Any) -> Any:
        size = jnp.trace(below) + jnp.trace(above)
        return jnp.linalg.norm(below - above) / jnp.maximum(size, jnp.finfo(below.dtype).tiny)

    return _by_pair([of(*pair) for pair in _neighbours(s.known_layers)])


def _imbalance_drift(s: State) -> Any:
    """As `lindyn.networks.imbalance_drift` has it, of each pair."""
    start = s.start if s.start is not None else s

    def of(now: tuple[Any, Any], then: tuple[Any, Any]) -> Any:
        change = (now[0] - now[1]) - (then[0] - then[1])
        size = jnp.linalg.norm(then[0]) + jnp.linalg.norm(then[1])
        return jnp.linalg.norm(change) / jnp.maximum(size, jnp.finfo(change.dtype).tiny)

    pairs = zip(_neighbours(s.known_layers), _neighbours(start.known_layers), strict=True)
    return _by_pair([of(*pair) for pair in pairs])


def _kernel_norm(terms: list[tuple[Any, Any]], d_out: int, d_in: int) -> Any:
    """Frobenius norm of G ↦ Σ out·G·in as a matrix of order d_in d_out: ⟨A ⊗ B, C ⊗ D⟩ = ⟨A, C⟩⟨B, D⟩."""

    def inner(a: Any, b: Any, size: int) -> Any:
        if a is None:
            return float(size) if b is None else jnp.trace(b)
        return jnp.trace(a) if b is None else jnp.sum(a * b)

    products = [inner(a, c, d_out) * inner(b, d, d_in) for a, b in terms for c, d in terms]
    return jnp.sqrt(jnp.maximum(sum(products), 0))


def _ntk_drift(s: State) -> Any:
    start = s.start if s.start is not None else s
    d_out, d_in = s.matrix.shape
    # out ⊗ in − out₀ ⊗ in₀ = (out − out₀) ⊗ in + out₀ ⊗ (in − in₀): small terms, of which the sum loses no digits
    change: list[tuple[Any, Any]] = []
    for (out, into), (out0, into0) in zip(s.kernel, start.kernel, strict=True):
        change += [] if out is None else [(out - out0, into)]
        change += [] if into is None else [(out0, into - into0)]
    scale = _kernel_norm(list(start.kernel), d_out, d_in)
    return _kernel_norm(change, d_out, d_in) / jnp.maximum(scale, jnp.finfo(s.matrix.dtype).tiny)


def singular_values(top: int | None = None) -> Observable:
    """Return the observable of the `top` largest singular values of A (all if None), dimension "mode".

    Examples:
        >>> singular_values(3).dims
        ('mode',)
    """
    return _leading_values(None if top is None else checks.integer("top", top, at_least=1))


@cache
def _leading_values(top: int | None) -> Observable:
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
    numerical = numerical_rank(s, ref.shape)
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


def collapse(labels: Any) -> Observable:
    """Return NC1 of the features before the last layer, where the columns of A are samples of known classes.

    With P the average over each class, J that over all, and C1 the Gram of the features:
    NC1 = tr((I − P)C1)/tr((P − J)C1), the variance within classes over that between them. Under the mixed formula on
    one-hot targets of K balanced classes and N samples, NC1(t) = τ(t)(N − K)/((K − 1)√(m(t)² + τ(t)²)).

    Args:
        labels: the class of each column of A, whole numbers, shape (d_in,); two classes or more.

    Raises:
        InvalidArgument: one class only; at run time, another number of labels than columns.

    References:
        works (11.5).

    Examples:
        >>> collapse([0, 0, 1, 1]).name
        'nc1'
    """
    classes = checks.numbers("labels", labels)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise checks.InvalidArgument("labels", "be whole numbers, one for each column", f"it is {checks.shown(labels)}")
    present = np.unique(classes)
    if present.size < 2:
        raise checks.InvalidArgument("labels", "name two classes or more", f"it names {present.size}")
    member = (classes[:, None] == present).astype(float)

    def function(state: State) -> Any:
        gram = state.gram_in
        if len(gram) != len(member):
            raise checks.InvalidArgument(
                "labels", f"have one entry for each of the {len(gram)} columns of A", f"it has {len(member)}"
            )
        # traces of GC1 for G = I, P and J, from sums over pairs of classes
        one = jnp.asarray(member, gram.dtype)
        sums, counts = one.T @ gram @ one, jnp.sum(one, axis=0)
        between = jnp.sum(jnp.diag(sums) / counts) - jnp.sum(sums) / len(member)
        within = jnp.trace(gram) - jnp.sum(jnp.diag(sums) / counts)
        return within / between

    return Observable("nc1", function, (), OF_COLLAPSE["nc1"].description)


def distance_to(reference: Trajectory) -> Observable:
    """Return the squared distance per entry, ‖A − B‖_F²/(d_out d_in), to a trajectory that saved its "matrix".

    Raises:
        InvalidArgument: the reference did not save "matrix"; at run time, a time that it does not have.

    References:
        theory section 4 (the fourth panel of the paper's Figure 2).
    """
    if not hasattr(reference, "origin"):
        raise checks.InvalidArgument("reference", "be a Trajectory", f"it is {checks.shown(reference)}")
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
        _labelled("loss", lambda s: 2 * s.task.cost(s.matrix)),
        singular_values(),
        _labelled("stable_rank", lambda s: stable_rank(s.singular_values)),
        _labelled("effective_rank", lambda s: effective_rank(s.singular_values)),
        _labelled("activity", _activity, ("mode",)),
        _labelled("balancedness", _balancedness, needs_network=True),
        _labelled("imbalance_drift", _imbalance_drift, needs_network=True),
        _labelled("ntk_drift", _ntk_drift),
        _labelled("ntk_distance", kernels.ntk_distance),
        _labelled("kernel_alignment", kernels.kernel_alignment),
        _labelled("sharpness", kernels.sharpness, needs_network=True),
        _labelled("layer_singular_values", kernels.layer_singular_values, ("layer", "mode"), needs_network=True),
        _labelled("imbalance", kernels.imbalance, ("pair",), needs_network=True),
        _labelled("gram_in", lambda s: s.gram_in, ("column", "other_column")),
        _labelled("gram_out", lambda s: s.gram_out, ("row", "other_row")),
        _labelled("geometry", kernels.geometry, ("input", "other_input")),
        _labelled("matrix", lambda s: s.matrix, ("row", "column")),
        _labelled("w1", lambda s: s.w1, ("hidden", "column"), needs_network=True),
        _labelled("w2", lambda s: s.w2, ("row", "hidden"), needs_network=True),
    )
}


@cache
def built_in(depth: int | None) -> Mapping[str, Observable]:
    """Return the observables known by name for a network of `depth` layers, or for a matrix alone (None).

    Beyond two layers "w1" … "wL" are the layers, and the observables of neighbouring layers have a value a pair.

    Examples:
        >>> built_in(3)["w2"].dims, built_in(3)["balancedness"].dims
        (('hidden_2', 'hidden_1'), ('pair',))
    """
    if depth is None or depth == 2:
        return BUILT_IN
    sides = ["column", *(f"hidden_{number}" for number in range(1, depth)), "row"]
    deep = {name: replace(BUILT_IN[name], dims=("pair",)) for name in ("balancedness", "imbalance_drift")}
    for number in range(1, depth + 1):
        deep[f"w{number}"] = _layer(number, (sides[number], sides[number - 1]))
    return {**BUILT_IN, **deep}


def _layer(number: int, dims: tuple[str, str]) -> Observable:
    return Observable(
        f"w{number}", lambda s: s.known_layers[number - 1], dims, f"reduced layer {number}", "1", needs_network=True
    )


Wanted = str | Observable | Callable[[State], Any]


@cache
def _measured(measure: Measure) -> Observable:
    def function(s: State) -> Any:
        return measure.function(s.task, s.matrix, s.matrix if s.start is None else s.start.matrix)

    return Observable(measure.name, function, measure.dims, measure.description, measure.unit)


def resolve(
    wanted: Sequence[Wanted] | Wanted | None,
    *,
    has_truth: bool,
    depth: int | None,
    measures: Sequence[Measure] = (),
) -> tuple[Observable, ...]:
    """Turn names, observables and plain functions into observables; None means errors and singular values.

    Args:
        wanted: names, observables, named functions, or one of them.
        has_truth: whether the task defines a test error.
        depth: number of layers that the run shows, None for a matrix alone.
        measures: what the task can tell beside its errors.
    """
    known = {**built_in(depth), **{measure.name: _measured(measure) for measure in measures}}
    if wanted is None:
        wanted = ["train_error", *(["test_error"] if has_truth else []), "singular_values"]
    if isinstance(wanted, str | Observable) or callable(wanted):
        wanted = [wanted]
    if not isinstance(wanted, Sequence | set | frozenset):
        raise checks.InvalidArgument(
            "observables", "be a name, an Observable or a list of them", f"it is {checks.shown(wanted)}"
        )
    found: list[Observable] = []
    for item in wanted:
        if isinstance(item, str):
            checks.choice("observables", item, sorted(known))
            observable = known[item]
        elif isinstance(item, Observable):
            observable = item
        elif callable(item) and getattr(item, "__name__", "<lambda>") != "<lambda>":
            observable = Observable(item.__name__, item, (), (inspect.getdoc(item) or "").partition("\n")[0])
        else:
            raise checks.InvalidArgument(
                "observables",
                "hold names, Observable objects or named functions of the state",
                f"it holds {checks.shown(item)}",
                "wrap it as Observable(name, function)",
            )
        if observable.name == "test_error" and not has_truth:
            raise checks.InvalidArgument(
                "observables", "not ask for 'test_error'", "the task knows no truth", "give the task a `signal`"
            )
        if observable.needs_network and depth is None:
            raise checks.InvalidArgument(
                "observables",
                f"not ask for {observable.name!r}",
                "it reads the layers, and this dynamics has a matrix only",
                "simulate a network, such as TwoLayer",
            )
        if any(o.name == observable.name for o in found):
            raise checks.InvalidArgument("observables", "have distinct names", f"{observable.name!r} comes twice")
        found.append(observable)
    return tuple(found)
