"""Training: the sub-networks at once, each on its device, and the full network on all devices."""

import itertools
import math
import sys

import keras
import tensorflow as tf

from keras_dd import cost, stacking
from keras_dd import devices as device_names
from keras_dd.decomposition import Decomposition
from keras_dd.fused import accelerate, fused
from keras_dd.graph import again, copy, is_softmax, operations, plain
from keras_dd.optimizer import make

# A call of TensorFlow costs one to three milliseconds, for the hundreds of variables that it is given.  So on a CPU it
# takes several steps, up to so many, and up to so many FLOPs: a second or so, for signals are heeded between calls.
STEPS_A_CALL, FLOPS_A_CALL = 20, 4e10


class Subnetworks(keras.Model):
    """K independent sub-networks as one model to `fit`: branches of one training step.

    Each network has its own box of the batch, and its own optimizer, loss and accuracy, all of them on its own device.
    Nothing is exchanged between networks, so they run at the same time: each as a branch of its own, or narrow ones on
    a CPU side by side in one (`stacking`).  `fit` reports `accuracy_1` to `accuracy_K` and the mean loss.

    Attributes:
        groups: the numbers, from 0, of the sub-networks of each branch: [[0, 1], [2, 3]].

    Args:
        parts: a `Decomposition`; copies of its networks that train faster (`fused.accelerate`) lie on the devices.
        devices: names of devices; with fewer than K, sub-networks share them in turn.
        random_boxes: train each network on boxes of the same size that lie somewhere else in each step, the same for
            all images of a batch: a function of the network's own box and of the step, so that it sees the same alone.
    """

    def __init__(self, parts, devices=("CPU:0",), random_boxes=False):
        super().__init__(name="subnetworks")
        self.boxes, self.random_boxes = parts.boxes, random_boxes
        self.devices = [devices[k % len(devices)] for k in range(len(parts))]
        self.subnets, self.optimizers, self.loss_means, self.accuracies = [], [], [], []
        for k, (subnet, device) in enumerate(zip(parts, self.devices, strict=True), start=1):
            with tf.device(device):
                self.subnets.append(accelerate(subnet))
                self.loss_means.append(keras.metrics.Mean(name=f"loss_{k}"))
                self.accuracies.append(keras.metrics.SparseCategoricalAccuracy(name=f"accuracy_{k}"))
        self.groups = self._groups()
        self.built = True

    def _groups(self):
        """Networks that share a CPU stand side by side where they can; on other devices each is a branch."""
        if set(self.devices) != {"CPU:0"}:
            return [[k] for k in range(len(self.subnets))]
        numbers = iter(range(len(self.subnets)))
        return [list(itertools.islice(numbers, size)) for size in stacking.sizes_of_groups(self.subnets)]

    def separate(self, group):
        """Train the networks of a group as branches of their own from now on."""
        at = self.groups.index(group)
        self.groups[at : at + 1] = [[k] for k in group]
        self.make_train_function(force=True)

    def compile(self, make_optimizer, label_smoothing=0.0, **kwargs):
        """`make_optimizer()` gives an optimizer; each sub-network gets one."""
        self.optimizers = []
        for subnet, device in zip(self.subnets, self.devices, strict=True):
            with tf.device(device):
                optimizer = make_optimizer()
                optimizer.build(subnet.trainable_variables)  # its slots belong on the device too
                self.optimizers.append(optimizer)
        self.loss_of = classification_loss(self.subnets[0], label_smoothing)
        # XLA, which Keras turns on by itself on GPUs, refuses a program whose variables lie on several devices.
        one_device = len(set(self.devices)) == 1
        super().compile(optimizer=self.optimizers[0], jit_compile="auto" if one_device else False, **kwargs)

    @property
    def metrics(self):
        return [*self.loss_means, *self.accuracies]

    def train_step(self, data):
        images, labels = data
        for group in self.groups:
            subnets = [self.subnets[k] for k in group]
            with tf.device(self.devices[group[0]]):
                with tf.GradientTape() as tape:
                    scores = stacking.scores(subnets, [self._box(k, images) for k in group])
                    losses = [
                        self.loss_of(labels, each) + sum(subnet.losses)
                        for each, subnet in zip(scores, subnets, strict=True)
                    ]
                gradients = tape.gradient(losses, [subnet.trainable_variables for subnet in subnets])
                for k, loss, each, slopes in zip(group, losses, scores, gradients, strict=True):
                    self.optimizers[k].apply(slopes, self.subnets[k].trainable_variables)
                    self.loss_means[k].update_state(loss)
                    self.accuracies[k].update_state(labels, each)
        return self._logs()

    def _box(self, k, images):
        """What network k sees of the images in this step of its training."""
        if not self.random_boxes:
            return self.boxes[k].of(images)
        box, step = self.boxes[k], tf.cast(self.optimizers[k].iterations, tf.int32)
        height, width = box.height, box.width
        places = images.shape[1] - height + 1, images.shape[2] - width + 1
        drawn = tf.random.stateless_uniform([2], [box.top * images.shape[2] + box.left, step])
        top, left = tf.unstack(tf.cast(drawn * places, tf.int32))
        # Not a slice: XLA wants sizes that it knows.
        return tf.gather(tf.gather(images, top + tf.range(height), axis=1), left + tf.range(width), axis=2)

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


def classification_loss(model, label_smoothing=0.0):
    """Cross-entropy for the scores that `model` gives: logits, or probabilities where it ends in a softmax.

    With `label_smoothing` s, the label of each image is 1 - s of its class and s of all classes in equal shares.
    """
    *_, last = operations(model).values()
    # The images that fill up the last batch of an evaluation weigh nothing.
    options = {"from_logits": not is_softmax(last), "reduction": "mean_with_sample_weight"}
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing=label_smoothing, **options)
    return keras.losses.SparseCategoricalCrossentropy(**options)


class SmoothedCrossentropy(keras.losses.CategoricalCrossentropy):
    """`keras.losses.CategoricalCrossentropy`, which alone can smooth, for labels that are numbers of classes."""

    def call(self, labels, scores):
        return super().call(tf.one_hot(tf.cast(labels, tf.int32), scores.shape[-1]), scores)


def fit_subnets(parts, stage, batches, steps_per_epoch, evaluation, devices, callbacks, start=(0, 0), a_call=None):
    """Train all sub-networks at once, up to `stage.epochs` epochs of `steps_per_epoch`.

    Args:
        batches: `batches(epoch, step)` gives all batches from there on.
        callbacks: those of Keras' `fit`, a `recorder.Recorder` among them.
        start: (epoch, step), from 0; a callback then brings the model to the state of that moment.
        a_call: steps in each call of TensorFlow, a divisor of those in an epoch; by default `steps_a_call` says it.

    Returns:
        A new `Decomposition` of trained networks.
    """
    model = Subnetworks(parts, devices, stage.boxes == "random")
    model.compile(lambda: make(stage, steps_per_epoch), stage.label_smoothing)
    call_by(model, a_call or _steps_a_call(model.subnets, devices, batches, steps_per_epoch, start))
    _fit(model, stage, batches, steps_per_epoch, evaluation, callbacks, start)
    trained = []
    for subnet, copied, device in zip(parts, model.subnets, model.devices, strict=True):
        with tf.device(device):
            trained.append(_with_weights_of(subnet, copied))
    return Decomposition(tuple(trained), parts.boxes)


def fit_full(model, stage, batches, steps_per_epoch, evaluation, devices, callbacks, start=(0, 0), a_call=None):
    """Train the full network data-parallel on all devices; a batch is that of all devices together.

    The arguments are those of `fit_subnets`.

    Returns:
        A new, trained model.
    """
    with device_names.strategy(devices).scope():
        mirrored = copy(model, _synchronized if len(devices) > 1 else fused)
        compile_full(mirrored, make(stage, steps_per_epoch), stage.label_smoothing)
        mirrored.optimizer.build(mirrored.trainable_variables)
    call_by(mirrored, a_call or _steps_a_call([model], devices, batches, steps_per_epoch, start))
    if start != (0, 0):
        mirrored.evaluate(evaluation.take(1), verbose=0)  # makes the metrics, whose state is to be brought back
    _fit(mirrored, stage, batches, steps_per_epoch, evaluation, callbacks, start)
    return _with_weights_of(model, mirrored)


def _with_weights_of(model, trained):
    """A new model with the plain layers of `model` and the weights of its trained copy."""
    found = copy(model, plain)
    found.set_weights(trained.get_weights())
    return found


def steps_a_call(networks, devices, batch_size, steps):
    """How many steps of training networks at once to take in each call of TensorFlow: a divisor of `steps`."""
    if set(devices) != {"CPU:0"}:
        return 1
    flops = sum(cost.training_flops(network, batch_size) for network in networks)
    most = min(STEPS_A_CALL, int(FLOPS_A_CALL / max(flops, 1)))
    return max((count for count in range(1, most + 1) if steps % count == 0), default=1)


def _steps_a_call(networks, devices, batches, steps_per_epoch, start):
    """The same for a whole stage, which may begin within an epoch."""
    images, _ = batches(*start).element_spec
    return steps_a_call(networks, devices, images.shape[0], math.gcd(steps_per_epoch, start[1]))


def call_by(model, count):
    """Let a compiled model take `count` steps, of training and of evaluation, in each call of TensorFlow."""
    if count != model.steps_per_execution:
        model.steps_per_execution = count
        model.make_train_function(force=True)
        model.make_test_function(force=True)


def _fit(model, stage, batches, steps_per_epoch, evaluation, callbacks, start):
    """`keras.Model.fit`, with a progress bar on a terminal and a line an epoch in a log."""
    epoch, step = start
    until = None
    while until != stage.epochs:  # once at least: callbacks bring back a stage that was over already
        model.again = None
        until = epoch + 1 if step else stage.epochs  # the rest of an epoch comes first
        model.fit(
            batches(epoch, step),
            initial_epoch=epoch,
            epochs=until,
            steps_per_epoch=steps_per_epoch - step,
            validation_data=evaluation,
            callbacks=callbacks,
            shuffle=False,  # the batches are shuffled already
            verbose=1 if sys.stdout.isatty() else 2,
        )
        if model.again is not None:
            until = model.again
        elif model.stop_training:
            break
        epoch, step = until, 0


def compile_full(model, optimizer, label_smoothing=0.0):
    """Compile a full network for training: cross-entropy, accuracy."""
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    # Keras would wrap the optimizer under mixed_float16 only, which the sub-networks do without too.
    loss = classification_loss(model, label_smoothing)
    model.compile(optimizer, loss, weighted_metrics=[accuracy], auto_scale_loss=False)


def _synchronized(layer):
    """Batch norm over the batches of all devices together: one replica's share has other statistics."""
    is_norm = isinstance(layer, keras.layers.BatchNormalization)
    return again(layer, synchronized=True) if is_norm else fused(layer)
