"""The command line: `lindyn demo`, `simulate`, `predict`, `regime`, `phase-diagram`, `inspect`."""

from lindyn.cli.app import main

__all__ = ["main"]
