"""`keras-dd bench`: what this machine makes of the method, as ratios from one run."""

import math
import statistics

import click

from keras_dd.apps.options import Output, quiet, write

ABOUT = """Measure on this machine, two ways of each work in turn:

\b
- K sub-networks at once, against one after another;
- fine-tuning as `fit` does it, against a bare training step;
- training with fused batch normalisation, against Keras' own;
- the feed of images, against what training consumes.

Times of a busy machine are worthless: let nothing else run.
"""


@click.command(help=ABOUT, short_help="Measure on this machine, two ways of each work in turn.")
@click.option("--model", default="resnet8", show_default=True, metavar="NAME", help="Full network.")
@click.option("--width", default=32, show_default=True, metavar="W", help="Its width.")
@click.option("--parts", default=4, show_default=True, metavar="K", help="How many sub-networks.")
@click.option("--batch-size", default=128, show_default=True, metavar="N", help="Images a step.")
@click.option("--steps", default=40, show_default=True, metavar="N", help="Steps a round.")
@click.option("--rounds", default=3, show_default=True, metavar="N", help="Rounds, of which the median counts.")
@click.option("--output", type=Output(), metavar="FILE", help="Write the measurements to FILE as JSON.")
@click.pass_context
def bench(context, model, width, parts, batch_size, steps, rounds, output):
    with quiet():
        from keras_dd import bench, rundir
        from keras_dd.config import UserError, unknown
        from keras_dd.models import MODELS

    for name, value in {
        "width": width,
        "parts": parts,
        "batch-size": batch_size,
        "steps": steps,
        "rounds": rounds,
    }.items():
        if value < 1:
            raise UserError(f"{name} is {value}: it must be at least 1")
    if model not in MODELS:
        raise unknown("model", model, MODELS)
    rounds_of = {"batch_size": batch_size, "steps": steps, "rounds": rounds}
    works = (
        lambda: bench.at_once(model, width, parts, **rounds_of),
        lambda: bench.fit_against_step(model, width, **rounds_of),
        lambda: bench.accelerated_against_plain(model, width, **rounds_of),
        lambda: bench.feed_against_training(**rounds_of),
    )
    results = []
    with click.progressbar(works, label="measuring", show_pos=True) as progress:
        for work in progress:
            results.append(work())
    for result in results:
        first, second = (statistics.median(result[way]) for way in ("first", "second"))
        least, most = min(result["ratio"]), max(result["ratio"])
        click.echo(f"\n{result['what']}")
        click.echo(f"  {first:,.0f} / {second:,.0f} images/s = {_short(result['median_ratio'])}", nl=False)
        click.echo(f" (median of {rounds}, {_short(least)} to {_short(most)})")
    if output:
        write(output, {"command": context.obj, "environment": rundir.environment(), "results": results})


def _short(ratio):
    return f"{ratio:.{max(0, 2 - int(math.log10(max(ratio, 1))))}f}x"
