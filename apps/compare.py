"""`keras-dd compare`: what did the method bring?"""

import math

import click
from click.core import ParameterSource

from keras_dd.apps import fit
from keras_dd.apps.options import FOLDER, Duration, Sectioned, quiet
from keras_dd.clocks import CLOCKS
from keras_dd.config import BASELINES, Settings, UserError

# Options of `fit` that a comparison sets itself, or has under another name.
OWN = {"validation_split", "method", "workers", "learning_rate", "epochs", "seed", "run_dir", "resume", "dry_run"}


class Rates(click.ParamType):
    """Learning rates with commas between, or none."""

    name = "rates"

    def convert(self, value, param, context):
        if isinstance(value, tuple):
            return value
        try:
            rates = () if value == "none" else tuple(float(rate) for rate in value.split(","))
        except ValueError:
            rates = (math.nan,)
        if not all(0 < rate < math.inf for rate in rates):
            self.fail(f"{value!r} is not learning rates, as 2e-3,5e-3, or none.", param, context)
        return tuple(dict.fromkeys(rates))


class Variant(click.ParamType):
    """Settings of another run by decomposition: overlap=8,boxes=random."""

    name = "variant"

    def convert(self, value, param, context):
        if isinstance(value, tuple):
            return value
        options = {option.name: option for section in ("Decomposition", "Training") for option in fit.SECTIONS[section]}
        changed = {}
        for each in value.split(","):
            key, equals, text = each.strip().partition("=")
            option = options.get(key.replace("-", "_"))
            if not option or not equals:
                self.fail(f"{each.strip()!r} is not OPTION=VALUE, as overlap=8, of those of fit.", param, context)
            changed[option.name] = option.type.convert(text, option, context)
        return value, changed


def of_fit(section):
    """Options of `fit`: a comparison takes those that say which networks are trained on what."""
    return [option for option in fit.SECTIONS[section] if option.name not in OWN]


SECTIONS = {
    "Comparison": [
        click.Option(
            ["--baseline", "baselines"],
            type=click.Choice(BASELINES),
            multiple=True,
            default=BASELINES,
            help="Conventional training: the recipe tuned, or the paper's; both if left out.",
        ),
        click.Option(["--seeds"], default=3, metavar="N", help="Pairs of runs.  [default: 3]"),
        click.Option(["--budget"], type=Duration(), metavar="TIME", help="Training of a run.  [default: 10min]"),
        click.Option(["--epochs"], type=int, metavar="N", help="Of the baseline, instead of a budget."),
        click.Option(
            ["--search"],
            type=Rates(),
            metavar="RATES",
            help="Learning rates tried on held-out training images, or none.  [default: 1/2, 1, 2 x the recipe's]",
        ),
        click.Option(
            ["--also"],
            type=Variant(),
            multiple=True,
            metavar="VARIANT",
            help="Decompose otherwise too, as overlap=8,boxes=random, in equal time and at ours' rates.",
        ),
        click.Option(
            ["--clock"],
            type=click.Choice(CLOCKS),
            default="one-device",
            help="On which all runs end together: here, or on K devices with a link or without; or FLOPs.",
        ),
        click.Option(
            ["--shorter"],
            default=0,
            metavar="N",
            help="Tuned baselines of an epoch less each, N of them: where ours ends between two, it is compared "
            "there.  [default: 0]",
        ),
        click.Option(["--run-dir"], type=FOLDER, default="runs/compare", metavar="DIR", help="[default: runs/compare]"),
        click.Option(["--dry-run"], is_flag=True, help="Print the runs and how long they take."),
    ],
    "Data": of_fit("Data"),
    "Network": of_fit("Network"),
    "Decomposition": of_fit("Decomposition"),
    "Training": of_fit("Training"),
    "Run": of_fit("Run"),
}

EPILOG = f"""\b
Recipes:
{fit.RECIPE_LINES}

\b
Examples:
  keras-dd compare --dataset cifar10 --model resnet8 --width 32
  keras-dd compare --baseline tuned --seeds 5 --epochs 8 --subnet-epochs 4
  keras-dd compare --search 2e-3,5e-3 --budget 30min --run-dir runs/half-hours
  keras-dd compare --clock unlinked --baseline tuned
  keras-dd compare --baseline tuned --epochs 4 --shorter 1
  keras-dd compare --also overlap=8 --also off-diagonal=noise:0.3,head-scale=2
"""


@click.command(
    cls=Sectioned, sections=SECTIONS, epilog=EPILOG, short_help="Compare decomposition with conventional training."
)
@click.pass_context
def compare(context, baselines, seeds, budget, epochs, search, also, clock, shorter, run_dir, dry_run, **chosen):
    """Train by decomposition and conventionally, seed by seed, and compare.

    All runs get the same time on this machine, or on another clock.  Learning
    rates are chosen on held-out training images, by the same search for both.
    A comparison that was stopped goes on by the same command.
    """
    if chosen["grid"] and context.get_parameter_source("parts") is ParameterSource.DEFAULT:
        chosen["parts"] = math.prod(chosen["grid"])
    if budget and epochs:
        raise UserError("budget and epochs both say how long a run is: leave one of them out")
    settings = Settings(**chosen, epochs=epochs)
    budget = budget or (None if epochs else 600.0)
    with quiet():
        from keras_dd import comparison, comparison_report, report

    if dry_run:
        click.echo(comparison.plan(settings, baselines, seeds, budget, search, also, clock, shorter))
        return
    found = comparison.compare(settings, baselines, seeds, budget, search, run_dir, context.obj, also, clock, shorter)

    import rich

    for lines in comparison_report.tables(found):
        rich.print("", report.terminal_table(lines))
    rich.print("", *found["verdict"], f"{run_dir}/comparison.html", sep="\n")
