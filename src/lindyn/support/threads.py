"""One thread of BLAS while XLA computes.

XLA has threads of its own, and for its decompositions calls LAPACK in the OpenBLAS that SciPy brings. OpenBLAS starts a
thread for each core as well; while they wait they spin, and take cores from XLA and from every other process.
Decompositions by NumPy alone, outside of `working_precision`, keep their threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


@cache
def _pools() -> ThreadpoolController:
    """The thread pools of this process, found once: to find them takes milliseconds, to limit them microseconds."""
    import scipy.linalg  # noqa: F401 (loads the OpenBLAS that XLA calls, which must be found too)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let BLAS use one thread inside, and as many as before outside.

    Examples:
        >>> from threadpoolctl import threadpool_info
        >>> with one_blas_thread():
        ...     {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        {1}
    """
    with _pools().limit(limits=1, user_api="blas"):
        yield


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    import psutil

    process = psutil.Process()
    try:
        return len(process.cpu_affinity())
    except AttributeError:  # macOS has no affinity
        return psutil.cpu_count() or 1
