"""`keras-dd export`: a model of the zoo for other programs."""

from pathlib import Path

import click

from keras_dd.apps.options import FOLDER, model_of_the_zoo, quiet

FORMATS = ("savedmodel", "onnx", "litert")

ABOUT = """Write a model of the zoo as a SavedModel, for ONNX Runtime or for LiteRT.

The exported model is run on test images, and kept only if its scores are
those of the network. It takes raw images as float32, 0 to 255.
"""


@click.command(help=ABOUT, short_help="Write a model of the zoo for other programs, and check it.")
@model_of_the_zoo
@click.option("--to", required=True, type=click.Choice(FORMATS), help="The format.")
@click.option("--output", type=FOLDER, default=".", show_default="here", metavar="DIR", help="The folder.")
@click.option("--data-dir", type=FOLDER, metavar="DIR", help="Of TFDS, for test images; otherwise digits, or noise.")
def export(name, to, output, data_dir):
    with quiet():
        from keras_dd import zoo
        from keras_dd.zoo import exporting

    card, model = zoo.card(name), zoo.load(name)
    images, what = exporting.images_for(card, data_dir)
    path, difference = exporting.export(model, images, to, Path(output) / card.name)
    click.echo(f"{path}: its scores for {len(images)} {what} are those of the network, to {difference:.1g}")
