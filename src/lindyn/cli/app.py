"""The program `lindyn`: its commands, loaded when they are asked for, and its one way out for refusals.

To add a command `my-thing`: write `my_thing_command.py` beside this file with a function `my_thing` (its options are
`Annotated` parameters; those of several commands stand in `options.py`) and a tuple `EXAMPLES`, and add "my-thing"
to `COMMANDS`. Import JAX, pandas, xarray and matplotlib, and whatever of lindyn uses them, inside the function: help
and completion load every file named here.
"""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lindyn._version import __version__
from lindyn.cli import output
from lindyn.support.errors import InvalidArgument

COMMANDS = ("demo", "simulate", "predict", "regime", "advise", "phase-diagram", "inspect", "reproduce", "explore")
REFUSED, INTERRUPTED = 2, 130


class _Commands(TyperGroup):
    """The group of commands; a command's file is imported when the command is asked for."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # the names, for suggestions

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in _LOADED:
            _LOADED[cmd_name] = _load(cmd_name)
        return _LOADED[cmd_name]


_LOADED: dict[str, Any] = {}  # the commands that were asked for


def app_commands() -> list[Any]:
    """Return the commands that were asked for in this process."""
    return list(_LOADED.values())


class _Command(TyperCommand):
    """A command whose help ends in examples that can be copied line by line."""

    examples: tuple[str, ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, and the examples below it."""
        super().format_help(ctx, formatter)
        output.print_examples(self.examples)


def _load(name: str) -> Any:
    """Import the file of a command and build it."""
    function = name.replace("-", "_")
    module = import_module(f"lindyn.cli.{function}_command")
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
    alone.command(name, cls=_Command)(getattr(module, function))
    command: Any = typer.main.get_command(alone)
    command.examples = module.EXAMPLES
    output.prepare_help(command)
    return command


app = typer.Typer(
    name="lindyn",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"lindyn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Simulate, predict and diagnose the training of linear networks, exactly and at any width.

    Exit codes: 0 done; 2 refused, with one sentence; 3 the training diverged; 130 interrupted.
    """


def main() -> None:
    """Run the command line: a refusal becomes one sentence on standard error and exit code 2, never a traceback."""
    output.take_any_terminal()
    warnings.showwarning = lambda message, *_: output.warn(str(message))
    try:
        _refuse_control_characters(sys.argv[1:])
        app(prog_name="lindyn")
    except InvalidArgument as error:
        _leave(_told(error))
    except MemoryError as error:
        _leave(str(error) or "The memory of this machine does not suffice; choose smaller sizes.")
    except (OSError, ImportError) as error:
        _leave(str(error))
    except (RuntimeError, ValueError) as error:
        if not (told := _of_the_environment(error)):
            raise
        _leave(told)
    except KeyboardInterrupt:
        output.tell("Interrupted.")
        sys.exit(INTERRUPTED)


def _of_the_environment(error: Exception) -> str:
    """Return in a sentence which of JAX's environment variables an error is about; "" if it is about none."""
    names = [name for name in os.environ if name.startswith("JAX_") and name in str(error)]
    if not names:
        return ""
    from lindyn.support.checks import one_line

    held = output.visible(os.environ[names[0]])
    return f"Environment variable {names[0]} must be one that JAX takes, but it is {held!r}: {one_line(error)}."


def _leave(sentence: str) -> None:
    output.fail(sentence)
    sys.exit(REFUSED)


def _refuse_control_characters(arguments: list[str]) -> None:
    """Keep escape sequences out of messages that repeat what was typed, such as "No such option"."""
    for argument in arguments:
        if output.visible(argument) != argument:
            raise InvalidArgument.sentence(
                f"An argument must be printable text, but {output.visible(argument)!r} holds control characters."
            )


# options whose names are not those of the arguments that they give
_RENAMED = {"as_json": "json", "as_csv": "csv", "all_papers": "all", "sources": "source", "seeds": "seed"}


def _told(error: InvalidArgument) -> str:
    """Return a refusal in the words of the command line: --width-exponent where Python says `width_exponent`.

    What no option gives is called by its name: "The threshold must …".
    """
    options = {p.name for command in app_commands() for p in command.params} | {*_RENAMED, *_RENAMED.values()}

    def show(name: str) -> str:
        return "--" + _RENAMED.get(name, name).replace("_", "-") if name in options else name.replace("_", " ")

    return error.told(show, "Option {}" if error.name in options else "The {}")
