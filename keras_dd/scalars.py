"""The rows of history.csv as logs for TensorBoard."""

from pathlib import Path

import keras
import tensorflow as tf

from keras_dd.config import UserError

FOLDER = "tensorboard"


def check():
    """UserError where TensorBoard, which is no requirement of this package, is not installed."""
    try:
        import tensorboard  # noqa: F401  tf.summary needs it
    except ImportError as error:
        raise UserError(
            f"tensorboard is on, but TensorBoard cannot be imported ({error}): pip install 'keras-dd[tensorboard]', or "
            "leave it out"
        ) from None


class Scalars(keras.callbacks.Callback):
    """Writes loss, accuracies and learning rate of each network and epoch into FOLDER of the run directory.

    Each network has a log of its own, so that TensorBoard lays their curves over one another.

    Args:
        recorder: the `recorder.Recorder` of the same `fit`, which is called before.
        run_dir: the run directory.
    """

    def __init__(self, recorder, run_dir):
        super().__init__()
        self.recorder, self.folder, self.writers = recorder, Path(run_dir) / FOLDER, {}

    def on_epoch_end(self, epoch, logs=None):
        for row in self.recorder.rows:
            if row["epoch"] != epoch + 1:  # nor has an epoch rows that is done again
                continue
            network = row["stage"]
            if network not in self.writers:
                self.writers[network] = tf.summary.create_file_writer(str(self.folder / network))
            with self.writers[network].as_default(step=row["epoch"]):
                for name in row.keys() - {"stage", "epoch"}:
                    tf.summary.scalar(name, row[name])
            self.writers[network].flush()

    def on_train_end(self, logs=None):
        while self.writers:
            self.writers.popitem()[1].close()
