"""`keras-dd feed`: how fast the images of a data set come, and how much memory that takes."""

import statistics

import click

from keras_dd.apps.options import DATASET, Output, Sectioned, quiet, write

ABOUT = """Draw batches of a data set as training does, and train nothing.

Says the images a second and the peak memory of the process. A set that would
take more than 512 MiB decoded is streamed: its images are decoded as they are
drawn, and memory does not grow with their number.
"""


def number(name, default, help):
    return click.Option([name], default=default, metavar="N", help=f"{help}  [default: {default}]")


SECTIONS = {
    "Data": DATASET,
    "Measurement": [
        number("--batch-size", 128, "Images a batch."),
        number("--steps", 20, "Batches a round."),
        number("--rounds", 5, "Rounds, of which the median counts."),
        click.Option(["--output"], type=Output(), metavar="FILE", help="Write the measurement to FILE as JSON."),
    ],
}


@click.command(cls=Sectioned, help=ABOUT, sections=SECTIONS)
@click.pass_context
def feed(context, dataset, data_dir, split, image_size, skip_bad_images, batch_size, steps, rounds, output):
    with quiet():
        from keras_dd import data, feeding, rundir

    loaded = data.load(dataset, data_dir, 0.0, 0, split, image_size, skip_bad_images)
    measured = feeding.measure(loaded, batch_size, steps, rounds)
    rates, peak = measured["images_per_second"], measured["peak_rss_mib"]
    shape = "x".join(map(str, measured["image_shape"]))
    how = "streamed" if measured["is_streamed"] else "held in memory"
    click.echo(f"{loaded.name}: {measured['images']:,} training images {shape}, {how}")
    for note in loaded.notes:
        click.echo(f"  {note}")
    click.echo(
        f"  {statistics.median(rates):,.0f} images/s (median of {rounds}, {min(rates):,.0f} to {max(rates):,.0f})"
    )
    click.echo(f"  peak memory {peak['loaded']:,.0f} MiB when loaded, {peak['fed']:,.0f} MiB when fed", nl=False)
    click.echo(f"; all images decoded are {measured['decoded_mib']:,.0f} MiB")
    if output:
        write(output, {"command": context.obj, "environment": rundir.environment(), **measured})
