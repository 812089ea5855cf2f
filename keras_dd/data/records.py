"""Examples of TensorFlow Datasets by number, read where they lie in its TFRecord files."""

import os
from functools import cached_property

import numpy as np
import tensorflow as tf

# A record: its length in 8 bytes and their checksum in 4, the example, and its checksum in 4.
HEADER, FOOTER = 12, 4


class Records:
    """The `stream.Source` of a split of TensorFlow Datasets.

    An index of where each example begins (16 bytes an image) is all that is held: any of them is read at once, so that
    an epoch is a true permutation and training goes on anywhere, which reading from the front in turn does not give.

    Args:
        instructions: TFDS's `FileInstruction`s: file, and which of its examples.
        image, label: the names of the two features.
    """

    def __init__(self, instructions, image, label):
        self.image, self.label = image, label
        self.paths = [instruction.filename for instruction in instructions]
        starts = [_starts(instruction) for instruction in instructions]
        self.files = np.repeat(np.arange(len(starts)), [len(some) for some in starts])
        self.starts = np.concatenate([np.zeros(0, np.int64), *starts])

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, row):
        with open(self.paths[self.files[row]], "rb") as file:
            file.seek(self.starts[row])
            length = int.from_bytes(file.read(HEADER)[:8], "little")
            features = tf.train.Example.FromString(file.read(length)).features.feature
        return features[self.image].bytes_list.value[0], features[self.label].int64_list.value[0]

    @cached_property
    def labels(self):
        """Those of all examples.  They lie among the images, so this reads the files from end to end."""
        return np.array([self[row][1] for row in range(len(self))], np.int32)


def _starts(instruction):
    """Where each of the examples that an instruction names begins in its file."""
    size, position, found = os.path.getsize(instruction.filename), 0, []
    with open(instruction.filename, "rb") as file:
        while position < size:
            found.append(position)
            file.seek(position)
            position += HEADER + int.from_bytes(file.read(HEADER)[:8], "little") + FOOTER
    if position != size or len(found) != instruction.examples_in_shard:
        raise ValueError(f"{instruction.filename} holds no {instruction.examples_in_shard} whole examples")
    return np.array(found, np.int64)[instruction.skip :][: instruction.take]
