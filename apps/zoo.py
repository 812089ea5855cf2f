"""`keras-dd zoo`: trained networks, what is known of them, and how one becomes one of them."""

import dataclasses

import click

from keras_dd.apps.options import FOLDER, Output, model_of_the_zoo, quiet, write

ABOUT = """Trained networks with cards.

NAME is one of `keras-dd zoo list`, or the path of a card (.json) with its
weights beside it.

\b
Examples:
  keras-dd zoo list
  keras-dd zoo predict photo.jpg --model NAME
  keras-dd zoo evaluate NAME --data-dir ~/data
  keras-dd zoo release runs/mine --twin runs/from-scratch --to my-zoo
  keras-dd zoo show my-zoo/resnet20-w16-cifar10-dd4.json
"""
DATA_DIR = click.option("--data-dir", type=FOLDER, metavar="DIR", help="Of TFDS.  [default: ~/tensorflow_datasets]")


@click.group(help=ABOUT, short_help="Trained networks, and what is known of them.", invoke_without_command=True)
@click.pass_context
def zoo(context):
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@zoo.command("list", short_help="All models, a line each.")
@click.option("--markdown", is_flag=True, help="As the table of a README.")
def list_models(markdown):
    """All models that come with the package, a line each."""
    from keras_dd.zoo import card, models, showing

    found = [card(name) for name in models()]
    if markdown:
        click.echo(showing.markdown(found))
        return
    import rich

    from keras_dd.report import terminal_table

    rich.print(terminal_table(showing.list_lines(found)))


@zoo.command(short_help="What the card of a model says.")
@model_of_the_zoo
@click.option("--json", "as_json", is_flag=True, help="As it is in its file.")
def show(name, as_json):
    """What the card of a model says."""
    from keras_dd.zoo import card, cards, showing

    found = card(name)
    if as_json:
        click.echo(cards.text(found), nl=False)
        return
    for heading, value in showing.card_lines(found):
        click.echo(f"{click.style(f'{heading:18}', bold=True)} {value}" if value else click.style(heading, bold=True))


@zoo.command(short_help="Whether all weights are those of their cards.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.pass_context
def verify(context, names):
    """Read the weights of all models (or of these), and compare size and SHA-256 with their cards."""
    from keras_dd.zoo import models
    from keras_dd.zoo.verifying import verify

    is_sound, names = True, names or models()
    width = max(map(len, names), default=0)
    for name in names:
        state, what = verify(name)
        is_sound &= state != "damaged"
        click.echo(f"{click.style(f'{state:14}', fg=COLOURS[state])} {name:{width}}  {what}")
    context.exit(0 if is_sound else 1)


COLOURS = {"sound": "green", "not downloaded": "yellow", "damaged": "red"}


@zoo.command(short_help="The five most likely classes of images.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(exists=True, dir_okay=False))
@click.option("--model", "name", metavar="NAME", help="Of the zoo.  [default: the only one]")
def predict(images, name):
    """The five most likely classes of each image, with their probabilities."""
    from keras_dd.config import UserError
    from keras_dd.zoo import models

    if not name and len(models()) != 1:
        raise UserError(f"--model says which network answers: one of {', '.join(models())}, or the path of a card")
    with quiet():
        from keras_dd import zoo
        from keras_dd.zoo import predicting, showing

    name = name or models()[0]
    card, model = zoo.card(name), zoo.load(name)
    for path in images:
        probabilities = predicting.probabilities(model, predicting.image(path, card.data.image_shape))
        click.echo(click.style(path, bold=True))
        for line in showing.guesses(card.data.classes, probabilities):
            click.echo(f"  {line}")


@zoo.command(short_help="Measure a model again, and compare with its card.")
@model_of_the_zoo
@DATA_DIR
@click.option("--dataset", metavar="DIR", help="Where the card's data set is, if it is a folder of images.")
@click.option("--output", type=Output(), metavar="FILE", help="Write the measurement to FILE as JSON.")
@click.pass_context
def evaluate(context, name, data_dir, dataset, output):
    """Measure a model on the whole test split, and say whether that is what its card says.

    Ends with exit code 1 if the accuracy differs by more than rounding: 0.05
    points, or one image.
    """
    with quiet():
        from keras_dd import rundir, zoo
        from keras_dd.zoo import measures, showing

    card, model = zoo.card(name), zoo.load(name)
    split = measures.dataset_of(card, data_dir, dataset).test
    scores = measures.measure(model, split, card.data.classes, card.scores.views)
    agree = measures.agree(scores, card.scores)
    click.echo(f"{card.name} on {scores.images:,} test images of {card.data.name}")
    for what, measured, said in (
        ("top-1", scores.top1, card.scores.top1),
        ("top-5", scores.top5, card.scores.top5),
        (f"by {scores.views} views", scores.by_views, card.scores.by_views),
        ("calibration error", scores.calibration_error, card.scores.calibration_error),
    ):
        if measured is not None and said is not None:
            click.echo(f"  {what:18}{showing.percent(measured):>8}, on the card {showing.percent(said):>8}")
    click.secho("agrees with the card" if agree else "DIFFERS from the card", fg="green" if agree else "red")
    if output:
        measured = {"command": context.obj, "environment": rundir.environment(), "name": card.name, "agrees": agree}
        write(output, measured | {"scores": dataclasses.asdict(scores)})
    context.exit(0 if agree else 1)


@zoo.command(short_help="Make a card and weights of a finished run.")
@click.argument("run", type=FOLDER)
@click.option("--name", metavar="NAME", help="Of the model.  [default: as resnet20-w16-cifar10-dd4]")
@click.option("--to", type=FOLDER, metavar="DIR", help="The folder.  [default: zoo in RUN]")
@click.option("--twin", type=FOLDER, metavar="RUN", help="The same network, trained conventionally.")
@click.option("--url", metavar="URL", help="Where you will put the weights, if not beside the card.")
@click.option("--data-dir", type=FOLDER, metavar="DIR", help="Of TFDS, if the data are elsewhere now.")
@click.option("--licence", default="Apache-2.0", show_default=True, metavar="TEXT", help="Of the weights.")
@click.option("--data-licence", metavar="TEXT", help="Of a data set that is not known here.")
@click.option("--citation", metavar="TEXT", help="Of a data set that is not known here.")
def release(run, **options):
    """Make a card and weights of a finished run, measured on its whole test split.

    Weights are stored in half precision if accuracy then stays within 0.05
    points.
    """
    with quiet():
        from keras_dd.zoo import cards, releasing, showing

    path = releasing.release(run, **options)
    card = cards.read(path)
    size = card.weights.bytes
    click.echo(f"{card.name}: {showing.percent(card.scores.top1)} of {card.scores.images:,} test images")
    click.echo(f"  {path}\n  {cards.weights_path(path)}, {size:,} bytes, {card.weights.dtype}")
    if size > cards.LARGEST_WEIGHTS and not card.weights.url:
        click.echo(f"  more than {cards.LARGEST_WEIGHTS:,} bytes do not go into a wheel: release it with --url")
