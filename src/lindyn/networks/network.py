"""Linear networks A = W_L ⋯ W_1 of any depth: what they have in common.

The state of a network is its *reduced* layers. Training moves the weights only within small subspaces of every hidden
layer (theory 1.3 for two layers, 7.1 for more), so that layers compressed to these subspaces carry the whole
trajectory of A at any width. `frames` holds the subspaces, where they are known, to turn the layers back to weights.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from lindyn.solutions.solution import Reason, Solution
from lindyn.support import checks
from lindyn.support.linalg import haar_frame
from lindyn.support.memory import require_memory
from lindyn.support.randomness import Seed, stream
from lindyn.support.values import Value


@dataclass(frozen=True, eq=False, repr=False)
class Network(Value, abc.ABC):
    """A network A = W_L ⋯ W_1 of hidden widths w_1 … w_{L−1}, held as reduced layers; made by `holding`.

    Attributes:
        layers: W_1 first; layer l has shape (r_l, r_{l−1}), with r_0 = d_in and r_L = d_out.
        widths: the widths w_l ≥ r_l of the network itself, one for each hidden layer.
        threshold: τ; singular values of A below it are lazy, above it active.
        law: how the weights were made, for print-outs.
        clock: flow time that passes in one step of learning rate 1 (1 unless parametrised otherwise).
        units: factors u_l between the user's weights and these, one for each layer: layer l = u_l W_l.
        frames: for each hidden layer Q_l, shape (r_l, w_l), with W_l = Q_lᵀ (layer l) Q_{l−1}; None where it is not
            known, or is the identity (r_l = w_l).

    References:
        theory (1.1), (1.3), (1.5), (7.1).
    """

    layers: tuple[Float[np.ndarray, "_ _"], ...]
    widths: tuple[int, ...]
    threshold: float
    law: str
    clock: float
    units: tuple[float, ...]
    frames: tuple[Float[np.ndarray, "_ _"] | None, ...] = field(repr=False)

    @classmethod
    def holding(
        cls,
        layers: tuple[np.ndarray, ...],
        widths: tuple[int, ...],
        threshold: float,
        law: str,
        *,
        clock: float = 1.0,
        units: tuple[float, ...] | None = None,
        frames: tuple[np.ndarray | None, ...] | None = None,
    ) -> Self:
        """Make the network that these reduced layers stand for; units are 1 and frames unknown if left out."""
        return cls(
            layers=tuple(layers),
            widths=tuple(widths),
            threshold=threshold,
            law=law,
            clock=clock,
            units=(1.0,) * len(layers) if units is None else tuple(units),
            frames=(None,) * len(widths) if frames is None else tuple(frames),
        )

    @property
    def depth(self) -> int:
        """Number of layers L."""
        return len(self.layers)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (d_out, d_in) of A."""
        return self.layers[-1].shape[0], self.layers[0].shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Precision of the weights."""
        return self.layers[0].dtype

    @property
    def reduced_widths(self) -> tuple[int, ...]:
        """Hidden units r_l that are held of each hidden layer."""
        return tuple(int(layer.shape[0]) for layer in self.layers[:-1])

    @property
    def nbytes(self) -> int:
        """Bytes of the reduced layers."""
        return sum(layer.nbytes for layer in self.layers)

    @property
    def matrix(self) -> Float[np.ndarray, "d_out d_in"]:
        """A = W_L ⋯ W_1."""
        return reduce(lambda below, layer: layer @ below, self.layers)

    def __repr__(self) -> str:
        """One line: shape, width, law, threshold, what is held in memory."""
        widths, held = (", ".join(f"{n:,}" for n in sizes) or "none" for sizes in (self.widths, self.reduced_widths))
        return (
            f"{type(self).__name__}(shape={self.shape}, width={widths}, threshold={self.threshold:.6g}, "
            f"law={self.law!r}, held as {held} columns, {self.nbytes / 2**20:.3g} MiB {self.dtype})"
        )

    def imbalances(self) -> tuple[Float[np.ndarray, "_ _"], ...]:
        """Return D_l = W_lW_lᵀ − W_{l+1}ᵀW_{l+1} of each pair of neighbours, reduced; the flow conserves them (1.5)."""
        return tuple(below @ below.T - above.T @ above for below, above in pairwise(self.layers))

    def kernel_terms(self) -> tuple[tuple[np.ndarray | None, np.ndarray | None], ...]:
        """Return the terms of the tangent kernel, G ↦ Σ_l (S_lS_lᵀ) G (P_lᵀP_l): one pair (out, in) for each layer.

        S_l = W_L ⋯ W_{l+1} is what stands above layer l and P_l = W_{l−1} ⋯ W_1 what stands below; None stands for
        the identity of the empty product.
        """
        below: list[np.ndarray | None] = [None]
        above: list[np.ndarray | None] = [None]
        for layer in self.layers[:-1]:
            below.append(layer if below[-1] is None else layer @ below[-1])
        for layer in reversed(self.layers[1:]):
            above.append(layer if above[-1] is None else above[-1] @ layer)
        return tuple(
            (None if s is None else s @ s.T, None if p is None else p.T @ p)
            for s, p in zip(reversed(above), below, strict=True)
        )

    def kernel_norm(self) -> float:
        """Return Σ_l ‖S_l‖²‖P_l‖² (see `kernel_terms`), a bound on the norm of the tangent kernel at this state.

        At two layers it is the norm itself, ‖W2‖² + ‖W1‖².
        """
        return sum(
            math.prod(1.0 if gram is None else float(np.linalg.norm(gram, 2)) for gram in term)
            for term in self.kernel_terms()
        )

    def learned_kernel_norm(self, top: float) -> float:
        """Return L(s² + τ²)^{1 − 1/L}, the norm of the tangent kernel once a mode s = `top` is learned.

        Exact at two layers (2.1) and in both limits of (7.4): L·s^{2−2/L} where active, the rate of the start where
        lazy, τ = (σ²w)^{L/2}. Between them it is too small, by at most 3 % at L = 3 and 7 % at L = 5 for orthogonal
        layers, of which the norm is known, works (9.11).
        """
        return self.depth * math.hypot(top, self.threshold) ** (2 - 2 / self.depth)

    def kernel_norms(self, target: Float[np.ndarray, "d_out d_in"]) -> tuple[float, float]:
        """Return the norm of the tangent kernel now and once a target is learned, for the stability bound."""
        return self.kernel_norm(), self.learned_kernel_norm(float(np.linalg.norm(target, 2)))

    def closed_form(self, task: Any) -> Solution | Reason:
        """Return the exact motion of A under the flow on a task, or the reason why there is none."""
        del task
        return Reason(
            f"no closed form is known for {self.depth} layers",
            "use Flow() or GradientDescent()",
        )

    def chain(self) -> Any:
        """Return how the layers act together where A is not their product, for a method; None for W_L ⋯ W_1."""
        return None

    def unfit(self, task: Any) -> str | None:
        """Return why a task of this network's shape is not one that it can meet; None where it is."""
        del task
        return None

    @property
    def title(self) -> str:
        """What moves, for print-outs and legends."""
        if not self.widths:
            return "network of one layer"
        return f"network of width {', '.join(f'{width:,}' for width in self.widths)}"

    @property
    def held(self) -> str:
        """What is held in the place of the network, for print-outs."""
        if not self.widths:
            return "the layer itself"
        return f"the reduced factor (1.3) of {', '.join(map(str, self.reduced_widths))} columns"

    @property
    def cut_off_tolerance(self) -> float:
        """Error of A, relative to its size, that a cut-off of reachable directions may cause; 0 where there is none."""
        return 0.0

    def refined(self) -> Self | None:
        """Return this network with more of its reachable directions, or None where it holds all of them."""
        return None

    def trained(self, layers: tuple[np.ndarray, ...]) -> Self:
        """Return this network with other layers, as a run leaves them; full layers come without frames."""
        same = [len(new) == len(old) for new, old in zip(layers[:-1], self.layers[:-1], strict=True)]
        frames = tuple(frame if kept else None for frame, kept in zip(self.frames, same, strict=True))
        return replace(self, layers=tuple(layers), frames=frames)

    def weights(self, key: Seed | None = None) -> tuple[np.ndarray, ...]:
        """Return the full layers W_1, …, W_L, in the user's units.

        Known for given weights and where the reduced layers are the layers. A wider sampled network is held reduced
        only: a `key` then draws the uniformly random frames that complete it to the weights of its law.

        Raises:
            InvalidArgument: a frame is not known and no key is given, or the weights do not fit in memory.
        """
        frames = self._known_frames(key)
        own = [w / self.dtype.type(u) for w, u in zip(self.layers, self.units, strict=True)]
        for k, frame in enumerate(frames):
            if frame is not None:
                own[k], own[k + 1] = frame.T @ own[k], own[k + 1] @ frame
        return tuple(own)

    def _known_frames(self, key: Seed | None) -> list[np.ndarray | None]:
        """Return the frame of each hidden layer, drawn where it is not known; None for the identity."""
        sizes = zip(self.frames, self.widths, self.reduced_widths, strict=True)
        unknown = [frame is None and width > held for frame, width, held in sizes]
        if not any(unknown):
            return list(self.frames)
        widest = max(self.widths)
        if key is None:
            raise checks.InvalidArgument(
                "key",
                "be given to draw the full weights",
                f"this network of width {widest:,} holds its reduced layers only",
                "pass a seed",
            )
        pairs = [(w, r) for w, r, draw in zip(self.widths, self.reduced_widths, unknown, strict=True) if draw]
        require_memory("width", widest, sum(3 * w * r * 8 for w, r in pairs), "the full weights")
        rng = stream("key", key, "frame")
        drawn = zip(self.frames, self.widths, self.reduced_widths, unknown, strict=True)
        return [
            haar_frame(width, held, rng).T.astype(self.dtype) if draw else frame for frame, width, held, draw in drawn
        ]

    def unreduced(self, key: Seed | None = None) -> Self:
        """Return the same network held as its full weights, for update rules that need them."""
        if self.reduced_widths == self.widths:
            return self
        full = zip(self.weights(key), self.units, strict=True)
        layers = tuple(w * self.dtype.type(u) for w, u in full)
        return replace(self, layers=layers, frames=(None,) * len(self.widths))
