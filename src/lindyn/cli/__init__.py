"""The command line: `lindyn demo`, `simulate`, `predict`, `regime`."""

from lindyn.cli.app import main

__all__ = ["main"]
