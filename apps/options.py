"""What the commands share: options made from Settings, in sections, and TensorFlow without its greetings."""

import json
import logging
import math
import os
from contextlib import contextmanager
from pathlib import Path

import click

from keras_dd.config import DATASETS, SPLITS, Settings, UserError
from keras_dd.files import replacing

DEFAULTS = Settings()
FOLDER = click.Path(file_okay=False)


def setting(field, help, flag=None, unset=None, among=(), **details):
    """The option for a field of Settings, with its name, its default and, unless given, its type.

    `unset` says in words what happens where the default is None; the Tab key completes to names `among` these, which
    Settings or the pipeline checks.
    """

    def complete(context, option, typed):
        return [name for name in among if name.startswith(typed)]

    flag = flag or "--" + field.replace("_", "-")
    default = getattr(DEFAULTS, field)
    if not details.get("is_flag"):
        help = f"{help}  [default: {default if unset is None else unset}]"
    if among:
        details["shell_complete"] = complete
    return click.Option([flag], default=default, help=help, **details)


DATASET = [
    setting("dataset", "cifar10, ... of TFDS, or a folder.", among=DATASETS, metavar="NAME"),
    setting("data_dir", "Of TFDS.", unset="~/tensorflow_datasets", type=FOLDER, metavar="DIR"),
    setting("split", f"{' or '.join(SPLITS)} (food101).", among=SPLITS, metavar="NAME"),
    setting("image_size", "Side of the square.", unset="the data's", type=int, metavar="PX"),
    setting("skip_bad_images", "Leave out files of a folder that cannot be used.", is_flag=True),
]


def model_of_the_zoo(command):
    """The argument NAME; the Tab key completes it."""

    def complete(context, argument, typed):
        from keras_dd.zoo import models

        return [name for name in models() if name.startswith(typed)]

    return click.argument("name", shell_complete=complete)(command)


class Grid(click.ParamType):
    """2x4: two rows of four boxes."""

    name = "RxC"

    def convert(self, value, param, context):
        try:
            rows, columns = map(int, value.lower().split("x"))
            if rows < 1 or columns < 1:
                raise ValueError
        except ValueError:
            self.fail(f"{value!r} is not ROWSxCOLUMNS, as in 2x4.", param, context)
        return rows, columns


class Duration(click.ParamType):
    """90s, 30min or 2h, in seconds."""

    name = "time"
    UNITS = {"s": 1, "min": 60, "h": 3600}

    def convert(self, value, param, context):
        number = str(value).rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            seconds = float(number) * self.UNITS[str(value)[len(number) :]]
            if not 0 < seconds < math.inf:
                raise ValueError
        except (ValueError, KeyError):
            self.fail(f"{value!r} is no time, as 90s, 30min or 2h are.", param, context)
        return seconds


class Sectioned(click.Command):
    """A command whose help shows its options in sections, {heading: options}, all in the same two columns."""

    def __init__(self, *args, sections, **details):
        super().__init__(*args, **details)
        self.sections = sections
        self.params += [option for options in sections.values() for option in options]

    def format_options(self, context, formatter):
        records = {
            heading: [option.get_help_record(context) for option in options]
            for heading, options in self.sections.items()
        }
        width = max(len(name) for section in records.values() for name, _ in section)
        for heading, section in records.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in section])


@contextmanager
def quiet():
    """Import TensorFlow in here, for a quiet stderr: an error is then one line of ours.

    Its libraries greet the user while they load, whatever the settings (tensorflow#100442), so stderr is shut for that
    time.  Later its log reports a missing GPU as an error; TF_CPP_MIN_LOG_LEVEL=0 in the environment brings it back.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class Output(click.ParamType):
    """A file for measurements, as JSON.  That it can be written is known before they are made."""

    name = "file"

    def convert(self, value, param, context):
        if Path(value).is_dir() or not os.access(Path(value).parent, os.W_OK):
            raise UserError(f"output {value!r} cannot be written: name a file in a folder that is there")
        return value


def write(output, content):
    """Write what was measured to the `Output`, whole or not at all."""
    with replacing(output) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
