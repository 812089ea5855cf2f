"""`keras-dd feature-maps`: what the first layer sees, and how far fine-tuning moved each block."""

from pathlib import Path

import click

from keras_dd.apps.options import FOLDER, quiet, write

ABOUT = """Draw the first layer's feature maps of a finished run.

Those of the K sub-networks beside those of the composed, of the fine-tuned
and of a random-initialised network, for some test images, and the kernels
themselves, as PNGs in RUN/feature-maps. A table says how far fine-tuning
moved the blocks of each layer, on and off the diagonal.
"""


@click.command("feature-maps", help=ABOUT, short_help="Draw the first layer's feature maps of a finished run.")
@click.argument("run", type=FOLDER)
@click.option(
    "--image",
    "images",
    multiple=True,
    type=click.IntRange(0),
    metavar="INDEX",
    help="Of the test split; may be given again.  [default: 0 to 3]",
)
@click.pass_context
def feature_maps(context, run, images):
    with quiet():
        from keras_dd import featuremaps, rundir

    networks = featuremaps.load(run)
    images = images or range(min(4, len(networks.split)))
    drawn = featuremaps.draw(networks, Path(run) / "feature-maps", images)
    layers = featuremaps.movement(networks)
    for line in featuremaps.table(layers):
        click.echo(line)
    measured = {"command": context.obj, "run": run, "environment": rundir.environment()}
    numbers = Path(run) / "feature-maps" / "movement.json"
    write(numbers, measured | {"images": list(images), "layers": layers})
    for path in (*drawn, numbers):
        click.echo(path)
