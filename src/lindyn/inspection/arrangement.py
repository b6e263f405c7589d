"""How two factor tensors stand for products: one matrix each, a convolution, or experts stacked in one of three ways.

Judged by shapes alone, before anything is read. A convolution's factor A (r, in, k, k) is flattened to (r, in·k·k), B
is 1 × 1. Experts are stacked as PEFT's `target_parameters` does it, A (E·r, in) with the expert as the slowest index
and B (out, r·E) with the expert as the *fastest*, or as 3-d tensors A (E, r, in), B (E, out, r), or transposed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lindyn.inspection.naming import module_kind
from lindyn.support import checks

Layout = Literal["matrix", "transposed", "convolution", "flat", "stacked", "stacked transposed", "stacked rows"]


@dataclass(frozen=True)
class Arrangement:
    """What two tensors hold: `experts` products (None: one, not stacked) of hidden width `rank`, and how."""

    layout: Layout
    rank: int
    experts: int | None = None

    def select(self, first: Any, second: Any, expert: int | None = None) -> tuple[Any, Any]:
        """Return W1 (r, d_in) and W2 (d_out, r) of one product; NumPy arrays or PyTorch tensors."""
        if self.layout == "matrix":
            return first, second
        if self.layout == "transposed":
            return first.T, second.T
        if self.layout == "convolution":
            return first.reshape(first.shape[0], -1), second.reshape(second.shape[:2])
        e, r = expert or 0, self.rank
        if self.layout == "flat":
            return first[e * r : (e + 1) * r], second[:, e :: self.experts]
        if self.layout == "stacked rows":
            return first[e * r : (e + 1) * r], second[e]
        one, two = first[e], second[e]
        return (one.T, two.T) if self.layout == "stacked transposed" else (one, two)


def arrange(
    first: tuple[int, ...], second: tuple[int, ...], module: str, *, rank: int | None = None, experts: bool = False
) -> Arrangement:
    """Say how tensors of two shapes form products.

    Args:
        first: shape of A, or of a stack of them.
        second: shape of B.
        module: name of the module, for the sentences.
        rank: r where a config says it.
        experts: whether a config says that the module's parameters are experts, stacked flat.

    Raises:
        InvalidArgument: grouped convolutions, merged query-key-value layers, shapes that do not chain.

    Examples:
        >>> arrange((6, 10), (12, 6), "experts", rank=2, experts=True)
        Arrangement(layout='flat', rank=2, experts=3)
        >>> arrange((4, 6, 3, 3), (10, 4, 1, 1), "conv")
        Arrangement(layout='convolution', rank=4, experts=None)
    """
    if 0 in first or 0 in second:
        raise checks.InvalidArgument(
            "source", "hold factors of rank 1 or more", f"a factor is empty: the shapes are {first} and {second}"
        )
    if experts and len(first) == len(second) == 2:
        return _flat(first, second, rank or first[0])
    if len(first) == len(second) == 3 and second[1:] != (first[0], 1):
        return _stacked(first, second, rank)
    if len(first) == 2 and len(second) == 3 and second[2] != 1 and first[0] == second[0] * second[2]:
        return Arrangement("stacked rows", second[2], second[0])
    if len(first) > 2 or len(second) > 2:
        return _convolution(first, second, rank)
    if len(first) != 2 or len(second) != 2:
        raise checks.InvalidArgument("source", "hold factors that are matrices", f"the shapes are {first} and {second}")
    if first[0] != second[1] and first[0] % second[1] == 0:
        groups = first[0] // second[1]
        known = module_kind(module) == "qkv"
        what = "a merged query-key-value layer" if known else "a merged layer, as of query, key and value"
        raise checks.InvalidArgument(
            "source", "hold one product s·BA for a module",
            f"the shapes {first} and {second} are those of {what}: {groups} updates whose second factors stand in one "
            f"tensor, each with its own {second[1]} rows of the first",
            "slice them out with `pair`",
        )  # fmt: skip
    _check_rank(first[0], rank, first)
    return Arrangement("matrix", first[0])


def _flat(first: tuple[int, ...], second: tuple[int, ...], rank: int) -> Arrangement:
    count, rest = divmod(first[0], rank)
    if rest or first[0] != second[1]:
        raise checks.InvalidArgument(
            "source", f"hold stacked experts of rank {rank}, as its config says",
            f"the shapes are {first} and {second}, no multiple of {rank}",
        )  # fmt: skip
    return Arrangement("matrix", rank) if count == 1 else Arrangement("flat", rank, count)


def _stacked(first: tuple[int, ...], second: tuple[int, ...], rank: int | None) -> Arrangement:
    count = first[0]
    if second[0] != count:
        shared = "one first factor is shared by all experts, and each moves it: " if count == 1 else ""
        raise checks.InvalidArgument(
            "source", "hold as many first as second factors of stacked experts",
            f"{shared}the shapes are {first} and {second}",
        )  # fmt: skip
    plain, turned = first[1] == second[2], first[2] == second[1]
    if plain and turned and first[1] != first[2]:
        plain, turned = rank in (None, first[1]), rank == first[2]
    if plain:
        _check_rank(first[1], rank, first)
        return Arrangement("stacked", first[1], count)
    if turned:
        _check_rank(first[2], rank, first)
        return Arrangement("stacked transposed", first[2], count)
    raise checks.InvalidArgument(
        "source", "hold stacked experts A (E, r, in) and B (E, out, r)", f"the shapes are {first} and {second}"
    )


def _convolution(first: tuple[int, ...], second: tuple[int, ...], rank: int | None) -> Arrangement:
    if any(n != 1 for n in second[2:]):
        raise checks.InvalidArgument(
            "source", "have a 1 × 1 second factor in a convolution", f"the shapes are {first} and {second}"
        )
    if first[0] != second[1] and first[0] % second[1] == 0:
        raise checks.InvalidArgument(
            "source", "hold one product s·BA for a module",
            f"the shapes {first} and {second} are those of a grouped convolution ({first[0] // second[1]} groups), "
            "whose update is block-diagonal",
        )  # fmt: skip
    _check_rank(first[0], rank, first)
    return Arrangement("convolution", first[0])


def _check_rank(found: int, rank: int | None, shape: tuple[int, ...]) -> None:
    if rank is not None and found != rank:
        raise checks.InvalidArgument(
            "source", f"hold factors of rank {rank}, as its config says", f"the shape of one is {shape}",
            "stacked factors of several heads or experts need their slices, given with `pair`",
        )  # fmt: skip
