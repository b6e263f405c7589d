"""Curvature of a cost from the loss that a user trains with."""

from __future__ import annotations

from typing import Any

from lindyn.support import checks
from lindyn.support.bounds import SQUARED

_REMEDY = "or give `curvature`, κ of ½κ‖A − T‖_F²"


def curvature_of(loss: Any, curvature: float | None, outputs: int | None) -> float:
    """Return κ of the cost ½κ‖A − T‖_F².

    The mean of squared errors over samples and outputs, as `torch.nn.MSELoss()` takes it, is ‖A − T‖_F²/d_out plus a
    constant on whitened inputs: κ = 2/d_out. (The mean over the d_out d_in entries of A would be 2/(d_out d_in): that
    is another cost, which no loss on samples has.)

    Args:
        loss: "mse", or an object of a class called MSELoss with reduction "mean"; None for the given curvature.
        curvature: κ, instead; 1 if both are left out.
        outputs: d_out.

    Raises:
        InvalidArgument: both are given, or another loss or reduction.

    References:
        theory section 0.

    Examples:
        >>> curvature_of("mse", None, 8), curvature_of(None, None, 8)
        (0.25, 1.0)
    """
    if loss is None:
        return 1.0 if curvature is None else checks.number("curvature", curvature, above=0, at_most=SQUARED)
    if curvature is not None:
        raise checks.InvalidArgument("curvature", "be left out beside `loss`", f"it is {curvature:g}")
    name = loss if isinstance(loss, str) else type(loss).__name__
    if name.lower() not in ("mse", "mseloss"):
        raise checks.InvalidArgument("loss", "be 'mse' or a torch.nn.MSELoss", f"it is {checks.shown(name)}", _REMEDY)
    reduction = getattr(loss, "reduction", "mean")
    if reduction != "mean":
        raise checks.InvalidArgument(
            "loss", "average over samples and outputs", f"its reduction is {reduction!r}", _REMEDY
        )
    if outputs is None:
        raise checks.InvalidArgument(
            "loss", "be left out where the number of outputs is not known", "it is given", _REMEDY
        )
    return 2.0 / outputs


def no_scale(scale: float, other: str) -> None:
    """Refuse a scale beside what it would not multiply."""
    if checks.number("scale", scale, above=0) != 1:
        raise checks.InvalidArgument(
            "scale", f"be left out beside `{other}`", f"it is {scale:g}", f"multiply `{other}` by it"
        )
