"""The command line: parse, call, print; no logic.

Exit codes: 0 done, 1 the run failed, 2 bad usage or bad input, 130 interrupted (Ctrl-C
or SIGTERM; state saved).
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from hqsearch import __version__
from hqsearch.cli.check import check
from hqsearch.cli.choose import choose
from hqsearch.cli.clean import clean
from hqsearch.cli.compare import compare
from hqsearch.cli.confirm import confirm
from hqsearch.cli.cost import cost
from hqsearch.cli.dashboard import dashboard
from hqsearch.cli.data import data
from hqsearch.cli.doctor import doctor
from hqsearch.cli.export import export
from hqsearch.cli.front import front
from hqsearch.cli.guide import guide
from hqsearch.cli.importing import import_results
from hqsearch.cli.output import err
from hqsearch.cli.plot import plot
from hqsearch.cli.report import report
from hqsearch.cli.resume import resume
from hqsearch.cli.run import run
from hqsearch.cli.show import show
from hqsearch.cli.status import status
from hqsearch.cli.streams import finish_streams, prepare_streams
from hqsearch.cli.studies import studies
from hqsearch.cli.train import train
from hqsearch.cli.trials import trials
from hqsearch.errors import HqsearchError, UnknownName
from hqsearch.wording import described, for_commands

COMMANDS = (
    check,
    run,
    resume,
    import_results,
    confirm,
    compare,
    studies,
    status,
    front,
    choose,
    trials,
    show,
    cost,
    train,
    export,
    plot,
    report,
    dashboard,
    data,
    clean,
    doctor,
    guide,
)


class Commands(click.Group):
    """Unknown commands are answered with the closest known one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UnknownName("command", args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def main() -> NoReturn:
    """Entry point of the ``hqsearch`` command."""
    prepare_streams()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # What a job scheduler sends before it kills ends a command as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(finish_streams(_run()))


def _run() -> int:
    """Run the command that was asked for; its exit code."""
    stream = sys.stdout
    try:
        # The code that a command exits with, where it says one.
        code = cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        err.print("interrupted; everything finished is saved: the same command, or resume, goes on")
        return 130
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        return error.exit_code
    except HqsearchError as error:
        err.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        return error.exit_code
    except SystemExit as ended:
        if sys.stdout is not stream:  # click exchanges it where whoever read has gone
            sys.stdout = stream
            return 0
        # Of a user's file: no command of ours ends so, and 0 would say that it is done.
        text = f"error: a file of the study ended the program: {described(ended)}"
        err.print(text, style="red", soft_wrap=True)
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        err.print(f"error: {place}{error.strerror or error}", style="red", soft_wrap=True)
        return 1
    return code if isinstance(code, int) else 0


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hqsearch")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find the quantizations of a spiking transformer that are worth having."""
    context.with_resource(for_commands())


for _command in COMMANDS:
    cli.add_command(_command)
