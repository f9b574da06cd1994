"""The command line: one table of subcommands, each loaded when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback

import click

from ..errors import UserError, nearest
from ..version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("judge", "Which of two responses to a prompt is better."),
    "rank": ("judge", "Order candidate responses from best to worst (best-of-N)."),
    "score": ("score", "Judge every row of a file."),
    "eval": ("evaluate", "Measure a model on a benchmark or a file of preferences."),
    "report": ("report", "Make a page of what `tinyrm eval -o` measured."),
    "train": ("train", "Train a model by a recipe."),
    "sweep": ("sweep", "Search the settings of a recipe for the best."),
    "average": ("average", "Average the weights of runs of one recipe."),
    "ablate": ("ablate", "Show what each ingredient of a recipe is worth."),
    "export": ("export", "Turn a trained checkpoint into ONNX, or into a plain classifier."),
    "serve": ("serve", "Serve a model over HTTP, to the clients of the field."),
}
"""Name -> module of this folder that holds it, and what it does."""


class Table(click.Group):
    """Subcommands by name; a module is imported only when its command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            raise UserError(f"no such command: {name!r}{nearest(name, COMMANDS)}")
        module = importlib.import_module(f".{COMMANDS[name][0]}", __name__)
        command: click.Command = getattr(module, name if name != "eval" else "evaluate")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Table, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tinyrm")
def app() -> None:
    """Reward models so small that they run anywhere.

    Without --model, every command uses the model inside the package: offline, on any CPU.
    """


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 2 the user's mistake, 1 ours, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command and returns its exit code; what went wrong is one sentence on standard error."""
    try:
        # Not app.main(), which answers a closed pipe and Ctrl-C in its own way.
        with app.make_context("tinyrm", [*(arguments or ["--help"])]) as context:
            app.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as mistake:
        return _say(mistake.format_message(), 2)
    except UserError as mistake:
        return _say(str(mistake), 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to flush to
        return 0
    except OSError as problem:
        return _say(f"{problem.strerror or problem}{f': {problem.filename}' if problem.filename else ''}", 2)
    except (KeyboardInterrupt, click.Abort):
        return _say("interrupted", 130)
    except Exception as bug:
        if os.environ.get("TINYRM_DEBUG"):
            traceback.print_exc()
        return _say(f"internal error ({type(bug).__name__}: {bug}); TINYRM_DEBUG=1 shows where. Please report it.", 1)
    return 0


def _say(message: str, code: int) -> int:
    click.echo(f"tinyrm: {' '.join(message.split())}", err=True)
    return code
