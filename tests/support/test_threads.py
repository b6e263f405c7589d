"""One BLAS thread while XLA computes, as many as before afterwards."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json
import numpy as np
from threadpoolctl import threadpool_info
import lindyn as ld
from lindyn.simulation.observables import Observable

def blas():
    return sorted(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

told = {}
def inside(state):
    told["inside"] = blas()  # called when the run is compiled, in the precision of the run
    return state.matrix.sum()

np.linalg.svd(np.eye(3))
task = ld.SpikedMatrix(dim=6, rank=2, key=0)
ld.simulate(ld.Mixed(1.0), task, times=[0.0, 1.0], observables=[Observable("inside", inside)])
told["outside"] = blas()
print(json.dumps(told))
"""


@pytest.mark.slow
def test_blas_has_one_thread_while_a_run_is_computed_and_its_own_number_afterwards():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["inside"]) == {1}
    if os.cpu_count() > 1:  # OpenBLAS starts no more threads than there are cores
        assert set(told["outside"]) == {2}
