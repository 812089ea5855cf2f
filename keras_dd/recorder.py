"""What a stage of training did: rows of history.csv, and clocks."""

import time

import keras


class Recorder(keras.callbacks.Callback):
    """The rows of history.csv: one a network and epoch.  The clock stands still while the model is evaluated.

    The learning rate of a row is that of the first step of its epoch.

    Args:
        networks: names of the rows' `stage`: one a sub-network, or one for the full network.
        evaluated_on: the split behind `fit`'s validation, "test" or "validation".

    Attributes:
        seconds, evaluation_seconds: what training and what evaluation have taken so far.
        earlier: seconds of the stage before it was interrupted, evaluation and all.
        divergences: what `divergence.Guard` has found.
        tasks: {network: where an engine trained it}; empty for what was trained in this process.
    """

    def __init__(self, networks, evaluated_on):
        super().__init__()
        self.networks, self.evaluated_on = networks, evaluated_on
        self.rows, self.divergences, self.tasks = [], [], {}
        self.seconds, self.evaluation_seconds, self.earlier = 0.0, 0.0, 0.0
        self.epoch = self.rates = self.began = self.started = None

    def state(self):
        """(facts, arrays) for a snapshot."""
        now = time.perf_counter()
        return {
            "rows": self.rows,
            "divergences": self.divergences,
            "seconds": self.seconds + (now - self.started if self.started is not None else 0),
            "evaluation_seconds": self.evaluation_seconds,
            "earlier": self.earlier + now - self.began,
            "epoch": self.epoch,
            "rates": self.rates,
        }, []

    def restore(self, facts, arrays):
        """Go on from a `state`."""
        for name, value in facts.items():
            setattr(self, name, value)

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter() if self.began is None else self.began

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.epoch:  # one that was begun before it was interrupted has its rates
            optimizers = getattr(self.model, "optimizers", [self.model.optimizer])
            self.epoch, self.rates = epoch, [float(optimizer.learning_rate) for optimizer in optimizers]
        self.started = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._pause()
        self.evaluation_started = time.perf_counter()

    def on_test_end(self, logs=None):
        self.evaluation_seconds += time.perf_counter() - self.evaluation_started

    def on_epoch_end(self, epoch, logs=None):
        self._pause()
        each = zip(self.networks, self.losses, self.rates, self._suffixes(), strict=True)
        for name, loss, rate, suffix in each:
            row = {"stage": name, "epoch": epoch + 1, "seconds": round(self.seconds, 3)}
            row |= {"learning_rate": rate, "loss": loss, "accuracy": logs[f"accuracy{suffix}"]}
            if f"val_accuracy{suffix}" in logs:
                row[f"{self.evaluated_on}_accuracy"] = logs[f"val_accuracy{suffix}"]
            self.rows.append(row)

    def forget(self, epoch):
        """Leave out the rows of an epoch that is done again; its seconds have passed all the same."""
        self.rows = [row for row in self.rows if row["epoch"] != epoch + 1]

    def _pause(self):
        """The training part of an epoch ends where its evaluation begins; the losses are those until then."""
        if self.started is not None:
            self.seconds += time.perf_counter() - self.started
            self.started = None
            losses = getattr(self.model, "loss_means", self.model.metrics[:1])
            self.losses = [float(mean.result()) for mean in losses]

    def _suffixes(self):
        return [f"_{k}" for k in range(1, len(self.networks) + 1)] if hasattr(self.model, "loss_means") else [""]
