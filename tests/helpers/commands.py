"""The command line, run in this process."""

import contextlib
import io
import json
import subprocess
import sys
import warnings
from unittest import mock

from lindyn.cli import main


def lindyn(*arguments):
    """Run the command line in this process: the same code without a second of start-up each time."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["lindyn", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def as_json(*arguments):
    done = lindyn(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
