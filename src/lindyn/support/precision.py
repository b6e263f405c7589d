"""One policy of precision: arrays are NumPy at the surface, JAX inside, and no global flag is touched.

A computation takes the dtype of its inputs: all float32 gives float32, anything else float64. Generated data
is float64 unless told otherwise. JAX's 64-bit mode is entered for the length of a call only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from lindyn.support.threads import one_blas_thread


def result_dtype(*values: Any) -> np.dtype:
    """Return the working dtype of arrays: float32 if every floating one has at most 32 bits, else float64.

    Examples:
        >>> import numpy as np
        >>> result_dtype(np.zeros(2, np.float32)), result_dtype([1, 2])
        (dtype('float32'), dtype('float64'))
    """
    narrow = [np.asarray(v).dtype.name in ("float32", "float16", "bfloat16") for v in values]
    return np.dtype(np.float32 if narrow and all(narrow) else np.float64)


@contextmanager
def working_precision(dtype: Any) -> Iterator[None]:
    """Let JAX compute in `dtype` (float32 or float64) inside, in this thread only, and BLAS beside it in one thread."""
    import jax

    with one_blas_thread(), jax.enable_x64(np.dtype(dtype) == np.float64):
        yield
