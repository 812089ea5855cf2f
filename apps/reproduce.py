"""`keras-dd reproduce`: a published experiment, with its numbers beside ours."""

import click

from keras_dd.apps.options import FOLDER, Duration, Sectioned, quiet, setting
from keras_dd.config import DTYPES, UserError, unknown
from keras_dd.published import EXPERIMENTS

SCALES = ("small", "full")

SECTIONS = {
    "Experiment": [
        click.Option(["--scale"], type=click.Choice(SCALES), default="small", help="[default: small]"),
        click.Option(["--budget"], type=Duration(), metavar="TIME", help="Of all runs, as 30min.  [default: 30min]"),
        click.Option(
            ["--seeds"], type=int, metavar="N", help="Runs of each kind.  [default: as published, 3 if small]"
        ),
        click.Option(["--run-dir"], type=FOLDER, metavar="DIR", help="Where they go.  [default: runs/NAME-SCALE]"),
    ],
    "Run": [
        setting("data_dir", "Of TFDS.", unset="~/tensorflow_datasets", type=FOLDER, metavar="DIR"),
        setting("devices", "auto, a number or names.", metavar="WHICH"),
        setting("dtype", f"{', '.join(DTYPES)}.", among=DTYPES, metavar="TYPE"),
    ],
}

EPILOG = """\b
Experiments:
{experiments}

\b
Examples:
  keras-dd reproduce fastresnet-table1 --budget 40min
  keras-dd reproduce table2 --scale full --data-dir ~/data --devices 4
""".format(
    experiments="\n".join(
        f"  {name:19}{experiment.about.partition(': ')[2]}" for name, experiment in EXPERIMENTS.items()
    )
)


@click.command(cls=Sectioned, sections=SECTIONS, epilog=EPILOG)
@click.argument("name")
@click.pass_context
def reproduce(context, name, scale, budget, seeds, run_dir, **common):
    """Run a published experiment, and print its numbers beside ours.

    At full scale all is as published, for those who have the machines.  At a
    small scale networks, epochs and images are shrunk until all runs together
    take the budget.  A campaign that was stopped goes on by the same command.
    """
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    if seeds is not None and seeds < 1:
        raise UserError(f"seeds is {seeds}: it must be at least 1")
    if budget and scale == "full":
        raise UserError("a full-scale experiment has no budget: leave out --budget, or choose --scale small")
    with quiet():
        from keras_dd import report, reproduction, reproduction_report

    budget = (budget or 1800) if scale == "small" else None
    run_dir = run_dir or f"runs/{name}-{scale}"
    found = reproduction.reproduce(name, scale, budget, seeds, run_dir, context.obj, **common)

    import rich

    for line in reproduction_report.head(found):
        click.echo(line)
    if found["values"]:
        rich.print("", report.terminal_table(reproduction_report.lines(found)))
    rich.print("", f"{run_dir}/reproduction.html", sep="\n")
