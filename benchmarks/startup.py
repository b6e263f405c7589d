"""Starting up: processor time of whole processes, against plain imports of the same libraries in the same run."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from typing import Any

PLAIN = {"numpy": "import numpy", "libraries": "import numpy, typer, rich"}
REGIME = ["regime", "--dim", "500", "--rank", "5", "--variance-exponent", "-1.85", "--width-exponent", "2.25"]
LIMITS = {"import lindyn": ("numpy", 2.0), "lindyn --help": ("libraries", 2.0), "lindyn regime …": ("libraries", 3.0)}


def _processor_seconds(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(*, rounds: int) -> dict[str, Any]:
    """Return the seconds of each process in each round, and the median over rounds of the ratios."""
    processes = {
        **{name: ["-c", code] for name, code in PLAIN.items()},
        "import lindyn": ["-c", "import lindyn"],
        "lindyn --help": ["-m", "lindyn", "--help"],
        "lindyn regime …": ["-m", "lindyn", *REGIME],
    }
    for arguments in processes.values():  # once unmeasured, so that files and byte code are at hand
        _processor_seconds(arguments)
    taken = [{name: _processor_seconds(arguments) for name, arguments in processes.items()} for _ in range(rounds)]
    ratios = {
        name: statistics.median(row[name] / row[against] for row in taken) for name, (against, _) in LIMITS.items()
    }
    return {"seconds": taken, "ratios": ratios}
