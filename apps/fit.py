"""`keras-dd fit`: the main job."""

import math

import click
from click.core import ParameterSource

from keras_dd.apps.options import DATASET, FOLDER, Grid, Sectioned, quiet, setting
from keras_dd.config import (
    BLOCKS,
    BOXES,
    DTYPES,
    ENGINES,
    METHODS,
    OFF_DIAGONAL,
    ON_DIVERGENCE,
    OPTIMIZERS,
    PADDINGS,
    SCHEDULES,
    SHORTCUTS,
    WIDTH,
    Settings,
    UserError,
)
from keras_dd.recipes import RECIPES

RECIPE = {"type": int, "unset": "the recipe's"}

SECTIONS = {
    "Data": [
        *DATASET,
        setting("validation_split", "Held out of training.", metavar="SHARE"),
        setting("train_images", "Train on N only.", unset="all", type=int, metavar="N"),
        setting("flip", "Mirror half the images.", "--flip/--no-flip", unset="the recipe's"),
        setting(
            "alternate",
            "Mirror each image every second epoch, not at random.",
            "--alternate/--no-alternate",
            unset="the recipe's",
        ),
        setting("crop", "Pad, and cut at random.", metavar="PX", **RECIPE),
        setting(
            "padding", f"Of --crop: {' or '.join(PADDINGS)}.", among=PADDINGS, metavar="KIND", **RECIPE | {"type": str}
        ),
    ],
    "Network": [
        setting("model", "cnn, resnet8, speednet, ..., a .keras file.", metavar="NAME"),
        setting("width", "Of the first layer.", unset=WIDTH, type=int, metavar="W"),
        setting("shortcut", f"{' or '.join(SHORTCUTS)}.", among=SHORTCUTS, metavar="KIND"),
        setting("block", f"{', '.join(BLOCKS)}.", among=BLOCKS, metavar="KIND"),
    ],
    "Decomposition": [
        setting("parts", "How many sub-networks.", metavar="K"),
        setting("grid", "Rows and columns of boxes.", unset="near square", type=Grid(), metavar="RxC"),
        setting("overlap", "Pixels that boxes share.", unset="the recipe's", type=int, metavar="PX"),
        setting("boxes", "fixed, or random in each step.", among=BOXES, metavar="KIND", **RECIPE | {"type": str}),
        setting(
            "off_diagonal",
            "Weights between the parts: zeros, noise:SCALE or orthogonal:SCALE.",
            among=OFF_DIAGONAL,
            metavar="RULE",
        ),
        setting("head_scale", "Of the composed head.", metavar="S"),
        setting("reestimate", "Batch norm, once composed.", "--reestimate/--no-reestimate"),
    ],
    "Training": [
        setting("method", f"{' or '.join(METHODS)}.", among=METHODS, metavar="NAME"),
        setting("recipe", f"{' or '.join(RECIPES)}, see below.", among=RECIPES, metavar="NAME"),
        setting("subnet_epochs", "Epochs of sub-networks.", metavar="N", **RECIPE),
        setting("epochs", "Epochs of the full network.", metavar="N", **RECIPE),
        setting("subnet_learning_rate", "Highest of sub-networks.", metavar="R", **RECIPE | {"type": float}),
        setting("learning_rate", "Highest of the full network.", metavar="R", **RECIPE | {"type": float}),
        setting("batch_size", "Images a step.", metavar="N", **RECIPE),
        setting("optimizer", f"{', '.join(OPTIMIZERS)}.", among=OPTIMIZERS, metavar="NAME", **RECIPE | {"type": str}),
        setting("schedule", f"{', '.join(SCHEDULES)}.", among=SCHEDULES, metavar="NAME", **RECIPE | {"type": str}),
        setting("weight_decay", "L2, added to the gradient.", metavar="R", **RECIPE | {"type": float}),
        setting(
            "bias_rate", "Of batch norm's biases: times the learning rate.", metavar="X", **RECIPE | {"type": float}
        ),
        setting("lookahead", "Draw weights to their slow average.", "--lookahead/--no-lookahead", unset="the recipe's"),
        setting(
            "label_smoothing", "Share of a label that is dealt to all classes.", metavar="S", **RECIPE | {"type": float}
        ),
    ],
    "Cluster": [
        setting("engine", f"{', '.join(ENGINES)}.", among=ENGINES, metavar="NAME"),
        setting("address", "Of Ray; of Slurm the partition.", unset="Ray on this machine", metavar="HOST:PORT"),
        setting("cpus", "Of a task of sub-networks.", unset="its share", type=int, metavar="N"),
        setting("gpus", "Of the same.", unset="1 if Ray has any", type=int, metavar="N"),
    ],
    "Run": [
        setting("devices", "auto, a number or names.", metavar="WHICH"),
        setting(
            "workers",
            "Processes for narrow sub-networks, which share the cores; 1: this one.",
            unset="one a core if it pays",
            type=int,
            metavar="N",
        ),
        setting("dtype", f"{', '.join(DTYPES)}.", among=DTYPES, metavar="TYPE"),
        setting("seed", "Of everything random.", metavar="N"),
        setting("deterministic", "The same numbers every time; slower.", is_flag=True),
        setting("run_dir", "Where results go.", unset="a new one in runs/", type=FOLDER, metavar="DIR"),
        setting("snapshot_every", "Seconds between snapshots.", metavar="SECONDS"),
        setting("on_divergence", f"{', '.join(ON_DIVERGENCE)}.", among=ON_DIVERGENCE, metavar="WHAT"),
        setting(
            "views",
            "Of test images, averaged, for one more accuracy: 1, 2 (mirrored) or 6 (and shifted).",
            metavar="N",
        ),
        setting("tensorboard", "Logs for TensorBoard too.", is_flag=True),
        click.Option(["--resume"], type=FOLDER, metavar="DIR", help="Go on with the run in DIR."),
        click.Option(["--dry-run"], is_flag=True, help="Print the plan and train nothing."),
    ],
}

RECIPE_LINES = "\n".join(f"  {name:12}{recipe.about}" for name, recipe in RECIPES.items())
EPILOG = f"""\b
Recipes:
{RECIPE_LINES}

\b
Examples:
  keras-dd fit --subnet-epochs 3 --epochs 3 --run-dir runs/first
  keras-dd fit --dataset cifar10 --data-dir ~/data --model resnet8 --width 32
  keras-dd fit --dataset cifar100 --model resnet32 --grid 2x4 --dry-run
  keras-dd fit --dataset path/to/photos --image-size 96 --model resnet8
  keras-dd fit --method conventional --epochs 6 --run-dir runs/baseline
  keras-dd fit --dataset cifar10 --model speednet --width 64 --recipe speed
  keras-dd fit --engine ray --address 10.0.0.1:6379 --dataset cifar10
  keras-dd fit --resume runs/first
"""


@click.command(cls=Sectioned, sections=SECTIONS, epilog=EPILOG)
@click.pass_context
def fit(context, dry_run, resume, **chosen):
    """Train a CNN by domain decomposition, from data to report.

    Images are cut into K boxes, which may overlap.  K sub-networks, each with 1/K
    of the width, learn one box each, all at once.  Their weights compose the full
    network, which is then fine-tuned on whole images.  With --method conventional
    the full network is trained from random initialisation, for comparison.
    """
    typed = [name for name in chosen if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if resume and dry_run:
        raise UserError("--dry-run is for a new run, and --resume goes on with one: leave one of them out")
    if chosen["grid"] and context.get_parameter_source("parts") is ParameterSource.DEFAULT:
        chosen["parts"] = math.prod(chosen["grid"])
    settings = Settings(**chosen)

    with quiet():
        from keras_dd import pipeline, plan, report

    if dry_run:
        click.echo(plan.plan(settings))
        return
    if resume:
        result = pipeline.resume(resume, **{name: chosen[name] for name in typed})
    else:
        result = pipeline.run(settings, command=context.obj)

    import rich

    rich.print(report.table(result.report))
