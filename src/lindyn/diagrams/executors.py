"""Engines: where the units of a diagram are computed. In this process, in local ones, or on a Dask cluster."""

from __future__ import annotations

import abc
import importlib.util
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Self

import jax

from lindyn.diagrams.chunks import Work
from lindyn.diagrams.costs import Estimate
from lindyn.diagrams.grid import Found, GridSettings
from lindyn.support import checks
from lindyn.support.threads import cores

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
_GPU_SHARE = 0.25
_WORTH_PROCESSES = 60.0  # seconds of one process; a worker starts, imports and compiles in five to ten


class Engine(abc.ABC):
    """Computes a queue of work, to which the caller may add while it runs."""

    @abc.abstractmethod
    def stream(self, settings: GridSettings, queue: deque[Work]) -> Iterator[tuple[Work, Found | Exception]]:
        """Yield every piece of work with what came out, in any order, until the queue stays empty."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class InProcess(Engine):
    """This process, with what accelerator JAX finds."""

    def __init__(self, lanes: int):
        self._lanes = lanes

    def stream(self, settings: GridSettings, queue: deque[Work]) -> Iterator[tuple[Work, Found | Exception]]:
        """Yield work by work."""
        while queue:
            work = queue.popleft()
            yield work, work.attempt(settings, self._lanes)


class OnDask(Engine):
    """A Dask cluster: a running one by its address, or one of local processes of one thread each.

    A worker that dies is replaced and its work done by another; work that kills three of them comes back as failed.
    """

    def __init__(self, *, workers: int | None = None, address: str | None = None, lanes: int = 1):
        self._workers, self._address, self._lanes = workers, address, lanes
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            import dask
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise checks.InvalidArgument(
                "workers" if self._address is None else "dask",
                "be left out without Dask",
                f"{error.name} is not installed",
                "pip install 'lindyn[cluster]'",
            ) from error
        with ExitStack() as stack:
            if self._address is None:
                stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 2}))
                cluster: Any = stack.enter_context(
                    LocalCluster(
                        n_workers=self._workers,
                        threads_per_worker=1,
                        processes=True,
                        memory_limit=None,
                        dashboard_address=None,
                        env=ONE_THREAD,
                    )
                )
            else:
                cluster = self._address
            try:
                self._client = stack.enter_context(Client(cluster, timeout="10s"))
            except (OSError, ValueError) as error:
                raise checks.InvalidArgument(
                    "dask", "be the address of a running scheduler, such as tcp://host:8786", f"it is {self._address!r}"
                ) from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def stream(self, settings: GridSettings, queue: deque[Work]) -> Iterator[tuple[Work, Found | Exception]]:
        """Keep every thread of the cluster busy, and yield work as it ends.

        No more is submitted than there are threads: what waits on a worker that dies would be blamed for its death.
        """
        from distributed import KilledWorker, as_completed

        pool = as_completed()
        submitted: dict[str, Work] = {}
        while queue or submitted:
            while queue and len(submitted) < max(1, sum(self._client.nthreads().values())):
                work = queue.popleft()
                future = self._client.submit(Work.attempt, work, settings, self._lanes, pure=False)
                submitted[future.key] = work
                pool.add(future)
            future = next(pool)
            error = future.exception()
            if isinstance(error, KilledWorker):
                error = RuntimeError("the worker died while computing it")
            yield submitted.pop(future.key), future.result() if error is None else error
            future.release()


def choose_engine(
    settings: GridSettings, *, workers: int | None = None, dask: str | None = None, lanes: int | None = None
) -> Engine:
    """Return the engine that the arguments of `phase_diagram` ask for.

    Raises:
        InvalidArgument: both local workers and a cluster, numbers below 1, or Dask is asked for and not installed.

    Examples:
        >>> from lindyn.diagrams import figure2
        >>> type(choose_engine(figure2())).__name__
        'InProcess'
    """
    if workers is not None and dask is not None:
        raise checks.InvalidArgument("workers", "be left out when `dask` names a cluster", "both are given")
    if lanes is not None:
        lanes = checks.integer("lanes", lanes, at_least=1)
    if workers is None and dask is None:
        return InProcess(_lanes_here(settings) if lanes is None else lanes)
    if workers is not None:
        workers = checks.integer("workers", workers, at_least=1)
    return OnDask(workers=workers, address=dask, lanes=lanes or 1)


def workers_for(cost: Estimate) -> int | None:
    """Return the number of local processes that a program should use for a diagram, None for this one alone.

    One process with a thread for each core splits products of some hundred rows, which gains less than a cell for each
    core does; starting the processes costs seconds, so that only a diagram of minutes is worth them. Without
    Dask, with one core, or with an accelerator there are none.
    """
    if cost.seconds < _WORTH_PROCESSES or cores() == 1 or jax.devices()[0].platform != "cpu":
        return None
    return cores() if importlib.util.find_spec("distributed") is not None else None


def _lanes_here(settings: GridSettings) -> int:
    """On a CPU one lane is fastest; an accelerator takes what a quarter of its free memory holds."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return 1
    memory = device.memory_stats() or {}
    free = memory.get("bytes_limit", 0) - memory.get("bytes_in_use", 0)
    return max(1, min(len(settings.columns.values), int(_GPU_SHARE * free / settings.lane_bytes)))
