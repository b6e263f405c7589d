"""Adaptive refinement: cells where a quantity changes fastest, or where a contour of it passes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lindyn._version import __version__
from lindyn.diagrams.grid import GridSettings
from lindyn.diagrams.settings import DiagramSettings, with_theory
from lindyn.diagrams.sources import compute
from lindyn.support import checks, storage
from lindyn.support.labels import OF_CELLS, OF_GRIDS
from lindyn.support.progress import Progress

if TYPE_CHECKING:
    import xarray as xr
    from adaptive import Learner2D

KIND = "refinement"
_BATCH = 12  # cells chosen together
_MOST_CELLS = 100_000  # each is chosen after the ones before
_ELSEWHERE = 0.02  # weight of triangles that the contour does not cross, so that no second piece of it is missed


def refine(
    settings: GridSettings,
    *,
    quantity: str = "min_test_error",
    level: float | None = None,
    cells: int = 180,
    path: str | Path | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Choose cells one batch after the other, where they tell most about one quantity of a diagram.

    The rectangle of the settings' exponents is triangulated; the next cells go into the triangles where the quantity
    bends most (`level` left out), or into the largest of those that its contour at `level` crosses.

    Args:
        settings: those of `phase_diagram`, with one source and one seed; of the grid only the first and last
            exponents are used.
        quantity: one of the diagram's quantities; of "distance" the natural logarithm is taken.
        level: contour to follow.
        cells: number of cells in all.
        path: a zarr folder, replaced after each batch; the same call again goes on from there, also with more
            cells.
        progress: show a progress bar; left out, only on a terminal.

    Returns:
        A dataset with the dimension "point": variance_exponent, width_exponent and the diagram's quantities.

    Raises:
        InvalidArgument: an unknown quantity, several sources or seeds, other settings than those of `path`, or
            `adaptive` is not installed.

    References:
        theory section 4; the choice of cells is that of the library python-adaptive.

    Examples:
        >>> from lindyn.diagrams import figure2
        >>> points = refine(figure2(sources=["predict"]), level=0.25, cells=30)
        >>> points.sizes["point"]
        30
    """
    if not isinstance(settings, DiagramSettings):
        must = "be DiagramSettings"
        raise checks.InvalidArgument("settings", must, f"it is {type(settings).__name__}", "compute it on a grid")
    for name in ("sources", "seeds"):
        listed = getattr(settings, name)
        if len(listed) != 1:
            raise checks.InvalidArgument(name, "hold one entry for a refinement", f"it holds {len(listed)}")
    checks.choice("quantity", quantity, tuple(OF_CELLS))
    level = None if level is None else checks.number("level", level)
    cells = checks.integer("cells", cells, at_least=5, at_most=_MOST_CELLS)
    wanted = {"settings": json.dumps(settings.as_dict()), "quantity": quantity, "lindyn_version": __version__}
    folder = None if path is None else checks.path("path", path)
    points = _stored(folder, wanted)
    learner = _learner(settings, level)
    _tell(learner, points, quantity)
    with Progress("refinement", cells, progress) as bar:
        while len(points["reason"]) < cells:
            chosen, _ = learner.ask(min(_BATCH, cells - len(points["reason"])), tell_pending=True)
            gamma_v, gamma_w = np.array(chosen).T
            found = compute(settings, settings.seeds[0], gamma_v, gamma_w)[settings.sources[0]]
            new = {"variance_exponent": gamma_v, "width_exponent": gamma_w, **found}
            points = {name: np.concatenate([points[name], new[name]]) for name in points}
            _tell(learner, new, quantity)
            dataset = _dataset(points, wanted)
            if folder is not None:
                storage.write(folder, KIND, {"": dataset}, overwrite=True)
            bar.update(len(points["reason"]))
    return _dataset(points, wanted)


def _learner(settings: DiagramSettings, level: float | None) -> Learner2D:
    try:
        from adaptive import Learner2D
        from adaptive.learner.learner2D import areas, default_loss
    except ImportError as error:
        raise checks.InvalidArgument(
            "refine",
            "be left out without its library",
            f"{error.name} is not installed",
            "pip install 'lindyn[refine]'",
        ) from error

    def along_the_contour(interpolator: Any) -> np.ndarray:
        corners = interpolator.values[interpolator.tri.simplices][:, :, 0]
        crossed = (corners.min(axis=1) < level) & (corners.max(axis=1) > level)
        return areas(interpolator) * np.where(crossed, 1.0, _ELSEWHERE)

    v, w = settings.variance_exponents, settings.width_exponents
    if v[0] == v[-1] or w[0] == w[-1]:
        raise checks.InvalidArgument(
            "variance_exponents", "span a rectangle with `width_exponents`", "one side is a point"
        )
    bounds = ((v[0], v[-1]), (w[0], w[-1]))
    return Learner2D(compute, bounds, default_loss if level is None else along_the_contour)


def _tell(learner: Learner2D, points: dict[str, np.ndarray], quantity: str) -> None:
    values = points[quantity].astype(float)
    if quantity == "distance":
        values = np.log(np.maximum(values, math.ulp(0.0)))
    failed = ~np.isfinite(values)
    if failed.any():  # a failed cell draws no others: it takes the value of its nearest neighbour
        place = np.stack([points["variance_exponent"], points["width_exponent"]], axis=1)
        fine = np.flatnonzero(~failed)
        for k in np.flatnonzero(failed):
            nearest = fine[np.argmin(((place[fine] - place[k]) ** 2).sum(axis=1))] if fine.size else None
            values[k] = 0.0 if nearest is None else values[nearest]
    for v, w, value in zip(points["variance_exponent"], points["width_exponent"], values, strict=True):
        learner.tell((float(v), float(w)), float(value))


def _dataset(points: dict[str, np.ndarray], attributes: dict[str, str]) -> xr.Dataset:
    import xarray as xr

    labels = {**OF_GRIDS, **OF_CELLS}
    variables = {name: ("point", values, labels[name].attributes) for name, values in points.items()}
    return with_theory(xr.Dataset(variables, attrs=attributes))


def load_points(path: str | Path) -> xr.Dataset:
    """Read a refinement from its folder; every part is compared with its checksum.

    Raises:
        InvalidArgument: the folder holds no refinement, or parts of it are damaged; the message names them.
    """
    (dataset,) = storage.read(path, KIND)
    try:
        storage.json_object(dataset.attrs["settings"], "settings")
        for name in ("variance_exponent", "width_exponent", *OF_CELLS, "reason"):
            dataset[name]
    except Exception as error:
        raise storage.unreadable(Path(path), KIND, error) from error
    return dataset


def _stored(folder: Path | None, wanted: dict[str, str]) -> dict[str, np.ndarray]:
    names = ["variance_exponent", "width_exponent", *OF_CELLS]
    if folder is None or not storage.standing(folder).exists():
        return {**{name: np.zeros(0) for name in names}, "reason": np.zeros(0, dtype=object)}
    stored = load_points(folder)
    for name in ("settings", "quantity"):
        if stored.attrs[name] != wanted[name]:
            raise checks.InvalidArgument(
                name, f"be those of the refinement in {folder}", f"they are {wanted[name]}", "write to another folder"
            )
    return {name: stored[name].values for name in [*names, "reason"]}
