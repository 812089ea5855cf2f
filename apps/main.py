"""`keras-dd`: the commands together, and how they end.

Whatever goes wrong is told in one line on stderr: exit code 2 for a mistake in what was asked for, 1 for a failure of
the machine (a full disk), 130 for Ctrl-C, 143 for SIGTERM.
"""

import re
import shlex
import sys

import click

from keras_dd import UserError, __version__
from keras_dd.apps.bench import bench
from keras_dd.apps.compare import compare
from keras_dd.apps.export import export
from keras_dd.apps.feature_maps import feature_maps
from keras_dd.apps.feed import feed
from keras_dd.apps.fit import fit
from keras_dd.apps.reproduce import reproduce
from keras_dd.apps.zoo import zoo

EPILOG = """\b
Start here:
  keras-dd fit              the whole method on 1,797 digits, under 2 minutes
  keras-dd fit --dry-run    only the plan: boxes, parameters, memory, steps
  keras-dd fit --dataset cifar10 --model resnet8 --width 32

\b
Completion by the Tab key, in ~/.bashrc (for zsh: zsh_source, in ~/.zshrc):
  eval "$(_KERAS_DD_COMPLETE=bash_source keras-dd)"

Every option can be set in the environment too: --data-dir of fit is
KERAS_DD_FIT_DATA_DIR.
"""


@click.group(epilog=EPILOG, invoke_without_command=True, context_settings={"auto_envvar_prefix": "KERAS_DD"})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def commands(context):
    """Train a wide CNN from K narrow ones, by domain decomposition."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


commands.add_command(fit)
commands.add_command(compare)
commands.add_command(bench)
commands.add_command(feed)
commands.add_command(feature_maps)
commands.add_command(reproduce)
commands.add_command(zoo)
commands.add_command(export)


# TensorFlow's names for a full memory, and for files that could be read when a run began and now cannot.
OF_THE_MACHINE = ("ResourceExhaustedError", "UnknownError", "DataLossError", "NotFoundError")


def main(arguments=None):
    """The entry point.  Commands find the line that was typed in `context.obj`."""
    arguments = sys.argv[1:] if arguments is None else arguments
    line = shlex.join(["keras-dd", *arguments])
    try:
        code = commands.main(arguments, prog_name="keras-dd", standalone_mode=False, obj=line)
    except click.ClickException as mistake:
        code = complain(mistake.format_message(), 2)
    except UserError as mistake:
        code = complain(mistake, 2)
    except click.Abort as stop:  # click's name for Ctrl-C; the cause is what was raised
        code = complain(str(stop.__cause__ or "") or "interrupted", getattr(stop.__cause__, "code", 130))
    except Exception as failure:
        if not isinstance(failure, OSError | MemoryError) and type(failure).__name__ not in OF_THE_MACHINE:
            raise
        what = re.sub(r"{{.*?}} *", "", str(failure)).partition("\n")[0]  # TensorFlow adds its graph node and a stack
        code = complain("; ".join([what or repr(failure), *getattr(failure, "__notes__", ())]), 1)
    sys.exit(code)


def complain(message, code):
    """One line on stderr, and the exit code."""
    click.echo("keras-dd: " + " ".join(str(message).split()), err=True)
    return code
