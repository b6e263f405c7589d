"""What comes out of a simulation: labelled curves that print, compare, convert, save and load."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, KeysView
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lindyn.support import checks, storage
from lindyn.support.labels import OF_STATES
from lindyn.support.provenance import Provenance

if TYPE_CHECKING:
    import xarray
    from jaxtyping import Float
    from matplotlib.axes import Axes

    from lindyn.methods.method import Method, System
    from lindyn.networks.network import Network
    from lindyn.tasks.task import Task


class Origin(NamedTuple):
    """What a trajectory was computed from, for `lindyn.simulation.replay`.

    Attributes:
        system: the network or the dynamics.
        task: the task.
        method: the method, chosen or given.
        timed: whether its records are at times, or at steps.
    """

    system: System
    task: Task
    method: Method
    timed: bool


@dataclass(frozen=True)
class Variable:
    """Label of one recorded observable: its dimensions after time, a line of description, its unit."""

    dims: tuple[str, ...]
    description: str
    unit: str


_OF_MODES = re.compile(r"(signal_)?mode(_of_\w+)?")  # dimensions that count modes


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A recorded run.

    Attributes:
        time: flow time of each record, shape (records,); for gradient descent learning rate × step.
        step: gradient-descent step of each record, or NaN where the motion has no steps.
        data: observable name → array of shape (records, …).
        variables: observable name → its labels.
        info: what was run and how (see `Provenance`): dynamics, method and why, learning rate, threshold, dtype,
            status, seconds, bytes of state, version.
        final: the network at the end, with all its layers, to go on from; or the matrix (after `load` too).
        origin: what it was computed from; None after `load` and for predictions.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
        >>> run = ld.simulate(ld.Mixed(threshold=1.0), task, times=[0.0, 0.1, 1.0])
        >>> run["train_error"].shape, run.to_xarray()["singular_values"].dims
        ((3,), ('time', 'mode'))
    """

    time: Float[np.ndarray, " records"]
    step: Float[np.ndarray, " records"]
    data: dict[str, np.ndarray]
    variables: dict[str, Variable]
    info: Provenance
    final: Network | np.ndarray | None = field(default=None, repr=False)
    origin: Origin | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return the recorded array of an observable."""
        if name not in self.data:
            raise KeyError(f"This trajectory holds {', '.join(self.data)}; {name!r} was not recorded.")
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        """Whether an observable was recorded."""
        return name in self.data

    def __iter__(self) -> Iterator[str]:
        """Go over the names of the recorded observables."""
        return iter(self.data)

    def keys(self) -> KeysView[str]:
        """Return the names of the recorded observables."""
        return self.data.keys()

    def __len__(self) -> int:
        """Number of records."""
        return len(self.time)

    @property
    def label(self) -> str:
        """Short name for legends: dynamics and method."""
        return f"{self.info.dynamics}, {self.info.method}"

    @property
    def status(self) -> str:
        """One sentence on how the run ended: "completed", or what stopped it and where."""
        return self.info.status

    @property
    def completed(self) -> bool:
        """Whether every requested record was made."""
        return self.status == "completed"

    def __repr__(self) -> str:
        """What was run, why so, and the first and last values."""
        i = self.info
        steps = "" if np.isnan(self.step).any() else f", steps {self.step[0]:.0f} … {self.step[-1]:.0f}"
        lines = [
            f"Trajectory of {i.dynamics} on {i.task} {i.shape}"
            + ("" if np.isnan(i.threshold) else f", threshold {i.threshold:.5g}"),
            f"  start       {i.law}",
            f"  method      {i.method}: {i.why}",
            f"  records     {len(self)}, time {self.time[0]:.4g} … {self.time[-1]:.4g}{steps}",
            f"  precision   {i.dtype}, state {i.state_bytes / 2**20:.3g} MiB",
            f"  seconds     {i.seconds_compile:.2f} compiling, {i.seconds_run:.2f} running",
            f"  status      {self.status}",
        ]
        lines += [f"  note        {note}" for note in i.notes]
        for name, values in self.data.items():
            if values.ndim == 1:
                lines.append(f"  {name:<11} {values[0]:.5g} → {values[-1]:.5g}, smallest {np.min(values):.5g}")
            else:
                size = " × ".join(map(str, values.shape[1:]))
                lines.append(f"  {name:<11} {size} {self.variables[name].description}")
        return "\n".join(lines)

    def to_xarray(self) -> xarray.Dataset:
        """Return an xarray Dataset along "time", the step as a second coordinate, with units and settings.

        A dimension that another observable has at another length is called DIMENSION_of_NAME, and an observable that
        has the name of a coordinate or dimension NAME_observable.
        """
        import xarray as xr

        sizes = {"time": len(self)}
        dims: dict[str, list[str]] = {}
        for name, v in self.variables.items():
            dims[name] = []
            for d, n in zip(v.dims, self.data[name].shape[1:], strict=True):
                taken = d == "time" or d in dims[name] or sizes.setdefault(d, n) != n
                dims[name].append(f"{d}_of_{name}" if taken else d)
        arrays = _array_names(self.data, {"time", "step", *(d for ds in dims.values() for d in ds)})
        variables = {
            arrays[name]: (("time", *dims[name]), self.data[name], {"long_name": v.description, "units": v.unit})
            for name, v in self.variables.items()
        }
        coordinates: dict[str, Any] = {
            name: ("time", values, OF_STATES[name].attributes)
            for name, values in (("time", self.time), ("step", self.step))
        }
        for name in self.variables:
            for d, n in zip(dims[name], self.data[name].shape[1:], strict=True):
                if _OF_MODES.match(d) and d not in arrays.values():
                    label = {"long_name": "number of the mode, largest first", "units": "1"}
                    coordinates[d] = (d, np.arange(1, n + 1), label)
        observables = [{"name": n, "array": arrays[n], **asdict(v)} for n, v in self.variables.items()]
        attributes = {"lindyn": json.dumps(self.info.as_dict()), "observables": json.dumps(observables)}
        return xr.Dataset(variables, coords=coordinates, attrs=attributes)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the trajectory as a zarr store (a folder), whole or not at all, with a checksum of every part.

        Args:
            path: the folder; by habit it ends in ".zarr".
            overwrite: replace what an earlier `save` wrote there; nothing else is ever deleted.

        Raises:
            InvalidArgument: the path exists and `overwrite` is not set, or it holds what lindyn did not write, or it
                names a file format, such as "run.nc".
            OSError: the folder cannot be written.
        """
        import xarray as xr

        path, overwrite = checks.path("path", path), checks.flag("overwrite", overwrite)
        datasets = {"": self.to_xarray(), "final": xr.Dataset()}
        if self.final is not None:
            matrix = self.final if isinstance(self.final, np.ndarray) else self.final.matrix
            label = {"long_name": "A at the end", "units": "target"}
            datasets["final"] = xr.Dataset({"matrix": (("row", "column"), matrix, label)})
        storage.write(path, "trajectory", datasets, overwrite=overwrite)
        return path

    @staticmethod
    def load(path: str | Path) -> Trajectory:
        """Read what `save` wrote; every part is compared with its checksum.

        Raises:
            InvalidArgument: there is nothing at the path, something else, or a trajectory of which parts are
                damaged; the message names them.
        """
        data, end = storage.read(path, "trajectory", groups=("", "final"))
        try:
            info = Provenance.from_dict(storage.json_object(data.attrs["lindyn"], "record"))
            arrays, variables = {}, {}
            for held in json.loads(data.attrs["observables"]):
                name = str(held["name"])
                arrays[name] = data[held["array"]].values
                variables[name] = Variable(tuple(map(str, held["dims"])), str(held["description"]), str(held["unit"]))
            final = end["matrix"].values if "matrix" in end else None
            return Trajectory(data["time"].values, data["step"].values, arrays, variables, info, final)
        except Exception as error:
            raise storage.unreadable(Path(path), "trajectory", error) from error

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the errors against step (or time); see `lindyn.plots` for more."""
        from lindyn.plots import errors

        return errors(self, ax=ax)

    def cite(self) -> str:
        """Return BibTeX of what this run used: the paper, and the sources of its method."""
        from lindyn.support.citations import cite

        return cite(*self.info.sources)

    def relabelled(self, **info: Any) -> Trajectory:
        """Return the same trajectory with fields of `info` replaced."""
        return replace(self, info=replace(self.info, **info))


def _array_names(names: Iterable[str], taken: set[str]) -> dict[str, str]:
    """Return a name for the array of each observable that no coordinate, dimension or other observable has."""
    found: dict[str, str] = {}
    for name in names:
        array = name
        while array in taken:
            array += "_observable"
        found[name] = array
        taken = taken | {array}
    return found


@dataclass(frozen=True)
class Comparison:
    """Two trajectories on one clock.

    Attributes:
        first: label of the first.
        second: label of the second.
        time: the common flow times, those of the first within the range of the second.
        interpolated: whether the second was interpolated linearly to them.
        differences: observable → array of second − first.
        distance: ‖A − B‖_F²/(d_out d_in) where both recorded "matrix" at common times, else None.
    """

    first: str
    second: str
    time: np.ndarray
    interpolated: bool
    differences: dict[str, np.ndarray]
    scales: dict[str, float]
    distance: np.ndarray | None

    def largest(self, name: str) -> float:
        """Return the largest absolute difference of an observable."""
        return float(np.max(np.abs(self.differences[checks.choice("name", name, tuple(self.differences))])))

    def __str__(self) -> str:
        """One line an observable: largest difference, absolute and relative to the first's largest value."""
        how = "interpolated linearly" if self.interpolated else "at equal times"
        lines = [f"{self.second} against {self.first}: {len(self.time)} records, {how}"]
        for name in self.differences:
            worst = self.largest(name)
            lines.append(f"  {name:<16} largest difference {worst:.3g} ({worst / (self.scales[name] or 1):.2%})")
        if self.distance is not None:
            lines.append(f"  largest ‖A − B‖_F²/(d_out d_in)  {self.distance.max():.3g}")
        return "\n".join(lines)

    __repr__ = __str__


def compare(first: Trajectory, second: Any, *, pair: str | None = None) -> Any:
    """Align two trajectories on the clock of flow time and return their differences; or a prediction with training.

    The records of `first` within the time range of `second` are used. Where `second` has no record at such a time
    its values are interpolated linearly, and the comparison says so.

    Args:
        first: a run; or the prediction of a pair of factors, from `predict_factors`.
        second: another run; or what recorded a training, a `lindyn.torch.RegimeTracker`.
        pair: which of the tracked pairs, where there are several.

    Returns:
        A `Comparison`; of a prediction with a tracker a `lindyn.inspection.Following`, which says whether training
        followed and draws both.

    Raises:
        InvalidArgument: different tasks' shapes, no overlap in time, or no observable in common.

    Examples:
        >>> import lindyn as ld
        >>> task = ld.SpikedMatrix(dim=20, rank=2, key=0)
        >>> start = ld.TwoLayer.orthogonal(20, threshold=1.0)
        >>> flow = ld.simulate(start, task, ld.Flow(), times=[0.0, 0.2, 1.0])
        >>> formula = ld.simulate(ld.Mixed.matching(start), task, times=flow.time)
        >>> ld.compare(flow, formula).largest("train_error") < 1e-8
        True
    """
    if hasattr(second, "against"):
        return second.against(first, pair=pair)
    if pair is not None:
        raise checks.InvalidArgument("pair", "come with a tracker", "`second` is a trajectory")
    for name, value in (("first", first), ("second", second)):
        if not isinstance(value, Trajectory):
            raise checks.InvalidArgument(
                name, "be a Trajectory", f"it is {type(value).__name__}", "run it by `simulate` first"
            )
    if first.info.shape != second.info.shape:
        raise checks.InvalidArgument("second", f"have the shape {first.info.shape}", f"it has {second.info.shape}")
    slack = 1e-9 * max(first.time[-1], second.time[-1])
    chosen = np.flatnonzero((first.time >= second.time[0] - slack) & (first.time <= second.time[-1] + slack))
    if chosen.size == 0:
        raise checks.InvalidArgument("second", "overlap with `first` in time", "they have no time in common")
    time = first.time[chosen]
    nearest = np.array([int(np.argmin(np.abs(second.time - t))) for t in time])
    exact = bool(np.allclose(second.time[nearest], time, rtol=1e-6, atol=slack))
    differences, scales = {}, {}
    for name in first.data:
        same = name in second.data and first.data[name].shape[1:] == second.data[name].shape[1:]
        if not same or name == "matrix" or first.variables[name].dims != second.variables[name].dims:
            continue
        ours, theirs = first.data[name][chosen], second.data[name]
        if exact:
            theirs = theirs[nearest]
        else:
            flat = theirs.reshape(len(theirs), -1)
            theirs = np.stack([np.interp(time, second.time, column) for column in flat.T], axis=-1).reshape(ours.shape)
        differences[name] = theirs - ours
        scales[name] = float(np.max(np.abs(ours)))
    distance = None
    if exact and "matrix" in first.data and "matrix" in second.data:
        distance = np.mean((first["matrix"][chosen] - second["matrix"][nearest]) ** 2, axis=(1, 2))
    if not differences and distance is None:
        raise checks.InvalidArgument("second", "share an observable with `first`", f"it holds {', '.join(second.data)}")
    return Comparison(first.label, second.label, time, not exact, differences, scales, distance)
