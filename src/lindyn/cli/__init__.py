"""The command line `lindyn`: one file a command, each loaded when it is asked for."""

from lindyn.cli.app import main

__all__ = ["main"]
