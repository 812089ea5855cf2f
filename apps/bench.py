"""`keras-dd bench`: what this machine makes of the method, beside other ways of the same work."""

from pathlib import Path

import click

from keras_dd.apps.options import Output, quiet, write
from keras_dd.config import DTYPES, UserError, unknown

ABOUT = """Measure on this machine; the ways of each work take turns.

\b
  ceilings     what it multiplies and copies at most
  full         training and fine-tuning, against stock Keras with TensorFlow's
               own flags, a bare training step, its convolutions alone, and
               PyTorch if it is installed
  fused        batch normalisation and GELU in one kernel, against Keras' own
  feed         the feed of images, against what training consumes
  startup      the command line, and importing keras_dd
  composition  time and memory of composing ResNet-110 of width 64
  subnets      K sub-networks at once in processes of this machine, against one
               process, workers of Ray, and one after another: ours, stock
               Keras', PyTorch's, and PyTorch's grouped convolutions
  settings, settings-subnets
               what else TensorFlow could be told; only if asked for

All but the settings take about 9 minutes on two cores; what you ask for is told at
the start. Times of a busy machine are worthless: let nothing else run.
"""


@click.command(help=ABOUT, short_help="Measure on this machine, the ways of each work in turn.")
@click.option("--only", metavar="NAMES", help="Some of these, with commas between.  [default: all but the settings]")
@click.option("--model", default="resnet20", show_default=True, metavar="NAME", help="Full network.")
@click.option("--width", default=16, show_default=True, metavar="W", help="Its width.")
@click.option("--parts", default=4, show_default=True, metavar="K", help="How many sub-networks.")
@click.option("--batch-size", default=64, show_default=True, metavar="N", help="Images a step.")
@click.option("--dtype", default="float32", show_default=True, metavar="TYPE", help=f"{', '.join(DTYPES)}.")
@click.option("--rounds", default=5, show_default=True, metavar="N", help="Turns of each way; the median counts.")
@click.option("--steps", type=int, metavar="N", help="Steps a turn.  [default: of two seconds]")
@click.option("--output", type=Output(), metavar="FILE", help="Write all to FILE as JSON, and a picture beside it.")
@click.pass_context
def bench(context, only, rounds, steps, output, **about):
    with quiet():
        from keras_dd import bench, devices, rundir
        from keras_dd.bench import picture
        from keras_dd.campaign import duration
        from keras_dd.files import replacing
        from keras_dd.models import MODELS

    names = [name.strip() for name in only.split(",")] if only else bench.DEFAULT
    for name in names:
        if name not in bench.NAMES:
            raise unknown("measurement", name, bench.NAMES)
    if about["model"] not in MODELS:
        raise unknown("model", about["model"], MODELS)
    if about["dtype"] not in DTYPES:
        raise unknown("dtype", about["dtype"], DTYPES)
    numbers = {name: about[name] for name in ("width", "parts", "batch_size")} | {"rounds": rounds, "steps": steps}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise UserError(f"{name.replace('_', '-')} is {value}: it must be at least 1")
    picture_path = Path(output).with_suffix(".png") if output else None
    if output and Path(output) == picture_path:
        raise UserError(f"output {output!r} would be the picture: name the JSON file, and the picture lies beside it")
    if about["dtype"] == "auto":
        about["dtype"] = devices.fastest_dtype(devices.pick())

    names = sorted(dict.fromkeys(names), key=bench.NAMES.index)
    more = f", and {rounds} turns of {steps} steps a way" if steps else ""
    click.echo(f"measuring {', '.join(names)}: about {duration(bench.expected_seconds(names, rounds, steps))}{more}")
    measured = bench.run(bench.Task(**about), names, rounds, steps, click.echo)
    click.echo(f"\n{duration(measured['seconds'])}, load average {measured['load_average'][1]:.1f}")
    if output:
        write(output, {"command": context.obj, "environment": rundir.environment(), **measured})
        if measured["ways"]:
            with replacing(picture_path) as partial:
                picture.draw(measured, partial)
