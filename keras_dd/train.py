"""Training: the sub-networks at once, each on its device, and the full network on all devices."""

import sys
import time

import keras
import tensorflow as tf

from keras_dd import devices as device_names
from keras_dd.decomposition import Decomposition
from keras_dd.fused import accelerate, fused
from keras_dd.graph import again, copy, is_softmax, operations


class Subnetworks(keras.Model):
    """K independent sub-networks as one model to `fit`: K branches of one training step.

    Each branch cuts its box out of the batch, and has its own optimizer, loss and accuracy, all of them on its own
    device.  Nothing is exchanged between branches, so they run at the same time.  `fit` reports `accuracy_1` to
    `accuracy_K` and the mean loss.

    Args:
        parts: a `Decomposition`; copies of its networks that train faster (`fused.accelerate`) lie on the devices.
        devices: names of devices; with fewer than K, sub-networks share them in turn.
    """

    def __init__(self, parts, devices=("CPU:0",)):
        super().__init__(name="subnetworks")
        self.boxes = parts.boxes
        self.devices = [devices[k % len(devices)] for k in range(len(parts))]
        self.subnets, self.optimizers, self.loss_means, self.accuracies = [], [], [], []
        for k, (subnet, device) in enumerate(zip(parts, self.devices, strict=True), start=1):
            with tf.device(device):
                self.subnets.append(accelerate(subnet))
                self.loss_means.append(keras.metrics.Mean(name=f"loss_{k}"))
                self.accuracies.append(keras.metrics.SparseCategoricalAccuracy(name=f"accuracy_{k}"))
        self.built = True

    def compile(self, make_optimizer, **kwargs):
        """`make_optimizer()` gives an optimizer; each sub-network gets one."""
        self.optimizers = []
        for subnet, device in zip(self.subnets, self.devices, strict=True):
            with tf.device(device):
                optimizer = make_optimizer()
                optimizer.build(subnet.trainable_variables)  # its slots belong on the device too
                self.optimizers.append(optimizer)
        self.loss_of = classification_loss(self.subnets[0])
        # XLA, which Keras turns on by itself on GPUs, refuses a program whose variables lie on several devices.
        one_device = len(set(self.devices)) == 1
        super().compile(optimizer=self.optimizers[0], jit_compile="auto" if one_device else False, **kwargs)

    @property
    def metrics(self):
        return [*self.loss_means, *self.accuracies]

    def train_step(self, data):
        images, labels = data
        for k, (subnet, optimizer) in enumerate(zip(self.subnets, self.optimizers, strict=True)):
            with tf.device(self.devices[k]):
                with tf.GradientTape() as tape:
                    scores = subnet(self.boxes[k].of(images), training=True)
                    loss = self.loss_of(labels, scores) + sum(subnet.losses)
                gradients = tape.gradient(loss, subnet.trainable_variables)
                optimizer.apply(gradients, subnet.trainable_variables)
                self.loss_means[k].update_state(loss)
                self.accuracies[k].update_state(labels, scores)
        return self._logs()

    def test_step(self, data):
        images, labels, weights = data
        for k, subnet in enumerate(self.subnets):
            with tf.device(self.devices[k]):
                scores = subnet(self.boxes[k].of(images), training=False)
                loss = self.loss_of(labels, scores, sample_weight=weights)
                self.loss_means[k].update_state(loss, sample_weight=tf.reduce_sum(weights))
                self.accuracies[k].update_state(labels, scores, sample_weight=weights)
        return self._logs()

    def _logs(self):
        loss = sum(mean.result() for mean in self.loss_means) / len(self.loss_means)
        return {"loss": loss} | {accuracy.name: accuracy.result() for accuracy in self.accuracies}


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
    """

    def __init__(self, networks, evaluated_on):
        super().__init__()
        self.networks, self.evaluated_on = networks, evaluated_on
        self.rows, self.divergences = [], []
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

    def _pause(self):
        """The training part of an epoch ends where its evaluation begins; the losses are those until then."""
        if self.started is not None:
            self.seconds += time.perf_counter() - self.started
            self.started = None
            losses = getattr(self.model, "loss_means", self.model.metrics[:1])
            self.losses = [float(mean.result()) for mean in losses]

    def _suffixes(self):
        return [f"_{k}" for k in range(1, len(self.networks) + 1)] if hasattr(self.model, "loss_means") else [""]


def classification_loss(model):
    """Cross-entropy for the scores that `model` gives: logits, or probabilities where it ends in a softmax."""
    *_, last = operations(model).values()
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=not is_softmax(last),
        reduction="mean_with_sample_weight",  # the images that fill up the last batch of an evaluation weigh nothing
    )


def learning_rate(stage, steps_per_epoch):
    """The learning rate of a `config.Stage`, a function of the step."""
    steps = max(1, stage.epochs * steps_per_epoch)
    if stage.schedule == "step":
        drops = stage.drops or (stage.epochs,)  # Keras wants one drop at least
        drops = [drop * steps_per_epoch - 1 for drop in drops]  # the last step before each
        rates = [stage.learning_rate / 10**n for n in range(len(drops) + 1)]
        return keras.optimizers.schedules.PiecewiseConstantDecay(drops, rates)
    rise = steps // 4
    return keras.optimizers.schedules.CosineDecay(
        stage.learning_rate / 25, steps - rise, warmup_target=stage.learning_rate, warmup_steps=rise
    )


class Braked(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times `brake`, a variable: 1, and less for a network that has diverged."""

    def __init__(self, schedule, brake):
        self.schedule, self.brake = schedule, brake

    def __call__(self, step):
        return self.schedule(step) * keras.ops.convert_to_tensor(self.brake)


def adam(stage, steps_per_epoch):
    """Adam at the learning rates of a stage times `optimizer.brake`."""
    brake = keras.Variable(1.0, trainable=False, name="brake")
    optimizer = keras.optimizers.Adam(Braked(learning_rate(stage, steps_per_epoch), brake))
    optimizer.brake = brake
    return optimizer


def fit_subnets(parts, stage, batches, steps_per_epoch, evaluation, devices, callbacks, start=(0, 0)):
    """Train all sub-networks at once, up to `stage.epochs` epochs of `steps_per_epoch`.

    Args:
        batches: `batches(epoch, step)` gives all batches from there on.
        callbacks: those of Keras' `fit`, a `Recorder` among them.
        start: (epoch, step), from 0; a callback then brings the model to the state of that moment.

    Returns:
        A new `Decomposition` of trained networks.
    """
    model = Subnetworks(parts, devices)
    model.compile(lambda: adam(stage, steps_per_epoch))
    _fit(model, stage, batches, steps_per_epoch, evaluation, callbacks, start)
    trained = []
    for subnet, copied, device in zip(parts, model.subnets, model.devices, strict=True):
        with tf.device(device):
            trained.append(_with_weights_of(subnet, copied))
    return Decomposition(tuple(trained), parts.boxes)


def subnet_accuracies(parts, evaluation, devices):
    """Fraction of the `evaluation` images that each sub-network gives the right class, from its box."""
    return subnet_top_accuracies(parts, evaluation, devices, tops=(1,))[0]


def subnet_top_accuracies(parts, evaluation, devices, tops):
    """For each n of `tops` the fractions, one a sub-network, of images whose class is among its n highest scores."""

    def scores(images):
        for k, (subnet, box) in enumerate(zip(parts, parts.boxes, strict=True)):
            with tf.device(devices[k % len(devices)]):
                yield subnet(box.of(images), training=False)

    return _accuracies(scores, evaluation, tops)


def accuracy(model, evaluation):
    """Fraction of the `evaluation` images (of weight 1) that `model` gives the right class."""
    return top_accuracies(model, evaluation, tops=(1,))[0]


def top_accuracies(model, evaluation, tops):
    """For each n of `tops` the fraction of the images whose class is among the n highest scores of `model`."""
    return [fraction for [fraction] in _accuracies(lambda images: [model(images, training=False)], evaluation, tops)]


def _accuracies(scores, evaluation, tops):
    """For each n of `tops`, the accuracy among the best n of each of the networks whose `scores(images)` are given.

    A forward pass is all it takes: compiling a model and tracing its `evaluate` would last longer than the evaluation.
    """

    def right(images, labels, weights):
        best = [tf.math.top_k(s, max(tops)).indices for s in scores(images)]
        hits = tf.cast(tf.stack(best) == labels[:, None], weights.dtype) * weights[:, None]  # networks, images, ranks
        counts = tf.cumsum(tf.reduce_sum(hits, axis=1), axis=-1)
        return tf.stack([counts[:, top - 1] for top in tops])

    right = tf.function(right, autograph=False).get_concrete_function(*evaluation.element_spec)
    counts, total = 0.0, 0.0
    for images, labels, weights in evaluation:
        counts += right(images, labels, weights).numpy()
        total += float(tf.reduce_sum(weights))
    return (counts / total).tolist()


def fit_full(model, stage, batches, steps_per_epoch, evaluation, devices, callbacks, start=(0, 0)):
    """Train the full network data-parallel on all devices; a batch is that of all devices together.

    The arguments are those of `fit_subnets`.

    Returns:
        A new, trained model.
    """
    with device_names.strategy(devices).scope():
        mirrored = copy(model, _synchronized if len(devices) > 1 else fused)
        compile_full(mirrored, adam(stage, steps_per_epoch))
        mirrored.optimizer.build(mirrored.trainable_variables)
    if start != (0, 0):
        mirrored.evaluate(evaluation.take(1), verbose=0)  # makes the metrics, whose state is to be brought back
    _fit(mirrored, stage, batches, steps_per_epoch, evaluation, callbacks, start)
    return _with_weights_of(model, mirrored)


def _with_weights_of(model, trained):
    """A new model with the plain layers of `model` and the weights of its trained copy."""
    plain = copy(model)
    plain.set_weights(trained.get_weights())
    return plain


def _fit(model, stage, batches, steps_per_epoch, evaluation, callbacks, start):
    """`keras.Model.fit`, with a progress bar on a terminal and a line an epoch in a log."""
    epoch, step = start
    legs = [(epoch, 0, stage.epochs)]
    if step:  # the rest of that epoch comes first
        legs = [(epoch, step, epoch + 1), (epoch + 1, 0, stage.epochs)]
    for first_epoch, first_step, epochs in legs:
        if model.stop_training:
            break
        model.fit(
            batches(first_epoch, first_step),
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch - first_step,
            validation_data=evaluation,
            callbacks=callbacks,
            shuffle=False,  # the batches are shuffled already
            verbose=1 if sys.stdout.isatty() else 2,
        )


def compile_full(model, optimizer="adam"):
    """Compile a full network for training: cross-entropy, accuracy."""
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    # Keras would wrap the optimizer under mixed_float16 only, which the sub-networks do without too.
    model.compile(optimizer, classification_loss(model), weighted_metrics=[accuracy], auto_scale_loss=False)


def _synchronized(layer):
    """Batch norm over the batches of all devices together: one replica's share has other statistics."""
    is_norm = isinstance(layer, keras.layers.BatchNormalization)
    return again(layer, synchronized=True) if is_norm else again(layer)
