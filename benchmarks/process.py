"""Measurements in fresh processes: start-up, peak memory, and how busy others kept the machine meanwhile.

`run_fresh` starts `python -m benchmarks.process MODULE SETTINGS`, which calls `MODULE.measure(**SETTINGS)`.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

_STARTED = "LINDYN_BENCHMARK_STARTED"


def seconds_since_start() -> float:
    """Return the wall-clock seconds since this process was asked for."""
    return time.time() - float(os.environ[_STARTED])


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory before exec
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def run_fresh(module: str, **settings: Any) -> dict[str, Any]:
    """Call `benchmarks.<module>.measure(**settings)` in a fresh process and return its result.

    The result gets `other_cores`: processor cores that other processes kept busy in the meantime, on average.
    """
    command = [sys.executable, "-m", "benchmarks.process", f"benchmarks.{module}", json.dumps(settings)]
    busy, own, started = _busy_seconds(), _children_seconds(), time.time()
    environment = {"JAX_PLATFORMS": "cpu", **os.environ, _STARTED: repr(started)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"benchmark {module} with {settings} ended with status {done.returncode}")
    others = (_busy_seconds() - busy) - (_children_seconds() - own)
    result = json.loads(done.stdout.splitlines()[-1])
    return {**settings, **result, "other_cores": max(others, 0.0) / (time.time() - started)}


def _busy_seconds() -> float:
    times = psutil.cpu_times()._asdict()
    return sum(times.get(name, 0.0) for name in ("user", "system", "irq", "softirq", "steal"))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Call the measurement named on the command line and print its result as JSON."""
    module, settings = sys.argv[1:]
    print(json.dumps(importlib.import_module(module).measure(**json.loads(settings))))


if __name__ == "__main__":
    main()
