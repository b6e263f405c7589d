"""Generated calls of the library, right and wrong: each works, or is refused in one sentence and leaves no file."""

import inspect
import re
import signal
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import lindyn as ld
from helpers.calls import call, entrances, things
from helpers.hostile import hostile_values
from helpers.refusals import SENTENCE

COUNT, SEED = 440, 20261125
SECONDS = 30  # a call that takes longer hangs: the slowest right one takes one
# entrance → how many of its calls are made for one of another, where a call takes a second
RARE = {"critical_threshold": 0.2, "reproduce": 0.05, "write_page": 0.2, "simulate, depth": 0.2, "compute": 0.3}
# where NaN is said by the documentation: never crossed, diverged, one group only, no steps, not measured
SAID = (
    "crossing", "[distance]", "steps_to_goal", "[descend]", "small_loss_split.1", ".step", "adam_clock", ".drift",
    "share_outside_rows",
)  # fmt: skip


class TooSlow(BaseException):
    """A call that does not come back; no `except Exception` takes it."""


def nan_in(value, path="", depth=0):
    """Yield where a result holds NaN."""
    if isinstance(value, xr.Dataset | xr.DataArray):
        value = {str(k): np.asarray(v) for k, v in getattr(value, "variables", {"": value}).items()}
    if isinstance(value, float | np.floating | np.ndarray):
        if np.asarray(value).dtype.kind == "f" and np.isnan(value).any():
            yield path
    elif depth < 5 and isinstance(value, dict):
        for name, part in value.items():
            yield from nan_in(part, f"{path}[{name}]", depth + 1)
    elif depth < 5 and isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from nan_in(part, f"{path}.{number}", depth + 1)
    elif depth < 5 and type(value).__module__.startswith("lindyn"):
        for name, part in getattr(value, "__dict__", {}).items():
            if name != "origin":
                yield from nan_in(part, f"{path}.{name}", depth + 1)


def holds_nan(value):
    """Whether an argument is NaN itself, which an evaluation may give back."""
    try:
        return bool(np.isnan(np.asarray(value, dtype=float)).any())
    except (TypeError, ValueError, OverflowError):
        return False


def fault(name, function, arguments, changed):
    """Return what a call did against its promises, or None."""
    before = set(Path().rglob("*"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            result = call(function, arguments)
        except ld.InvalidArgument as error:
            left = set(Path().rglob("*")) - before
            if left:
                return f"a refusal that leaves {sorted(map(str, left))}"
            return None if re.fullmatch(SENTENCE, str(error)) else f"no sentence: {error}"
        except TooSlow:
            return f"more than {SECONDS} s"
        except Exception as error:
            where = [frame for frame in traceback.extract_tb(error.__traceback__) if "lindyn" in frame.filename]
            if isinstance(error, TypeError) and re.search("unexpected keyword|required .*argument", str(error)):
                return None  # Python's own sentence
            if isinstance(error, OSError) and error.filename is not None:
                return None  # the system's, with the file's name
            return f"{type(error).__name__}: {error} at {where[-1].filename}:{where[-1].lineno}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    odd = [w for w in told if issubclass(w.category, RuntimeWarning | DeprecationWarning) or "array" in str(w.message)]
    if odd:
        return f"{odd[0].category.__name__}: {odd[0].message} at {odd[0].filename}:{odd[0].lineno}"
    silent = [p for p in nan_in(result, name) if not told and not any(word in p for word in SAID)]
    if silent and not any(holds_nan(arguments.get(k)) and hasattr(function, "__self__") for k in changed):
        return f"NaN without a word in {silent[0] or 'the result'}"
    return None


def generated(table, count, seed):
    """Yield entrance, function, arguments and the names of those that were replaced, left out or made up."""
    rng = np.random.default_rng(seed)
    hostile = hostile_values()
    weights = np.array([RARE.get(name, 1.0) for name in table])
    names = list(table)
    for number in range(count):
        # every entrance once as it is and then at random, so that none is missed
        name = names[number] if number < len(names) else names[rng.choice(len(names), p=weights / weights.sum())]
        function, right = table[name]
        arguments = dict(right)
        changed = (
            [] if number < len(names) else [str(k) for k in rng.permutation(list(right))[: rng.choice([1, 1, 1, 2, 3])]]
        )
        for argument in changed:
            kind = rng.random()
            if kind < 0.9:
                arguments[argument] = hostile[rng.integers(len(hostile))]
            elif kind < 0.97:
                del arguments[argument]
            else:
                arguments["nonsense"] = 1
        yield name, function, arguments, changed


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
def test_no_call_breaks_a_promise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    things().run.save("stored")

    def stop(*_):
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    try:
        found = []
        for name, function, arguments, changed in generated(entrances(), COUNT, SEED):
            if wrong := fault(name, function, arguments, changed):
                shown = {k: repr(arguments.get(k, "left out"))[:80] for k in changed}
                found.append(f"{name}, {shown}: {wrong}")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not found, "\n".join(found)


def test_every_public_function_is_called():
    from helpers import calls

    source = (
        Path(calls.__file__).read_text()
        + Path(__file__).with_name("networks").joinpath("test_hostile_arguments.py").read_text()
    )
    rooms = [getattr(ld, room) for room in ROOMS]
    missing = {
        name
        for room in [ld, *rooms]
        for name in dir(room)
        if inspect.isfunction(getattr(room, name)) and not name.startswith("_")
        if not re.search(rf"\b{name}\b", source)
    }
    assert not missing - NOT_CALLED


ROOMS = (
    "advice", "diagrams", "explorer", "inspection", "methods", "networks", "papers", "plots", "prediction",
    "simulation", "solutions", "tasks", "torch",
)  # fmt: skip
NOT_CALLED = {"claim", "descent_step"}  # a decorator; plain arithmetic on numbers that its callers have checked
