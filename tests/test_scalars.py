"""scalars.py: TensorBoard's own reader finds the rows of history.csv."""

import sys

import pytest
import support
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import keras_dd
from keras_dd import scalars
from keras_dd.config import UserError


def test_logs_have_the_rows_of_the_history(tmp_path):
    settings = {"parts": 2, "overlap": 8, "subnet_epochs": 2, "epochs": 1, "run_dir": str(tmp_path / "run")}
    result = keras_dd.fit(support.network(norm=False), support.digits(128, 50), **settings, tensorboard=True)
    assert {path.name for path in (tmp_path / "run" / scalars.FOLDER).iterdir()} == {"subnet 1", "subnet 2", "finetune"}
    for network in "subnet 1", "subnet 2", "finetune":
        log = EventAccumulator(str(tmp_path / "run" / scalars.FOLDER / network), {"tensors": 0}).Reload()
        rows = [row for row in result.history if row["stage"] == network]
        for name in rows[0].keys() - {"stage", "epoch"}:
            events = log.Tensors(name)
            assert [event.step for event in events] == [row["epoch"] for row in rows]
            values = [float(tf.make_ndarray(event.tensor_proto)) for event in events]
            assert values == pytest.approx([row[name] for row in rows], rel=1e-6)


def test_without_tensorboard_installed_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as Python marks what cannot be imported
    with pytest.raises(UserError, match=r"pip install 'keras-dd\[tensorboard\]'"):
        keras_dd.fit("cnn", "digits", tensorboard=True, run_dir=str(tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []
