"""Divergence: a network whose loss or weights are not finite goes back to its last good epoch, and slows down or stops.

Sub-networks share nothing, so that the others go on as if nothing had happened.  Where some are trained side by side
(`stacking`), what is not finite passes between them: then the epoch is done again, each of them as a branch of its own.
"""

import math

import keras
import numpy as np


class Guard(keras.callbacks.Callback):
    """Looks at each network when an epoch ends.

    One that has diverged gets back the weights and the optimizer's slots of its last good epoch.  The first time it
    then goes on at half the learning rate ("retry"); the second time, or at once ("stop"), it keeps these weights to
    the end.  The schedule goes on for all: no epoch is repeated.

    Args:
        recorder: the `recorder.Recorder` of the same `fit`, which is called before.
        policy: "retry", "stop" or "ignore".
        epochs: of the stage.
    """

    def __init__(self, recorder, policy, epochs):
        super().__init__()
        self.recorder, self.policy, self.epochs = recorder, policy, epochs
        self.good = self.good_epochs = self.stopped = None

    def state(self):
        """(facts, arrays) for a snapshot."""
        counts = [len(good) for good in self.good]
        facts = {"good_epochs": self.good_epochs, "stopped": self.stopped, "counts": counts, "groups": self.groups}
        return facts, [array for good in self.good for array in good]

    def restore(self, facts, arrays):
        """Go on from a `state`."""
        self.good_epochs, self.stopped = facts["good_epochs"], facts["stopped"]
        for group in [group for group in self.groups if group not in facts["groups"]]:
            self.model.separate(group)
        arrays = iter(arrays)
        self.good = [[next(arrays) for _ in range(count)] for count in facts["counts"]]

    def on_train_begin(self, logs=None):
        networks = getattr(self.model, "subnets", [self.model])
        self.optimizers = getattr(self.model, "optimizers", [self.model.optimizer])
        self.variables = [
            [*network.weights, *_slots(optimizer)] for network, optimizer in zip(networks, self.optimizers, strict=True)
        ]
        self.groups = getattr(self.model, "groups", [[0]])
        if self.policy == "ignore":  # then nobody would separate them
            for group in [group for group in self.groups if len(group) > 1]:
                self.model.separate(group)
        if self.good is None:
            count = len(networks)
            self.good_epochs, self.stopped = [0] * count, [False] * count
            self.good = [] if self.policy == "ignore" else [self._values(k) for k in range(count)]

    def on_epoch_end(self, epoch, logs=None):
        if self.policy == "ignore":
            return
        values = [self._values(k) for k in range(len(self.good))]
        sound = [
            math.isfinite(loss) and all(np.isfinite(value).all() for value in theirs)
            for loss, theirs in zip(self.recorder.losses, values, strict=True)
        ]
        spoilt = [group for group in self.groups if len(group) > 1 and not all(sound[k] for k in group)]
        if spoilt:
            self._do_again(epoch, spoilt)
            return
        for k, is_sound in enumerate(sound):
            if self.stopped[k]:
                self._go_back(k)
            elif is_sound:
                self.good[k], self.good_epochs[k] = values[k], epoch + 1
            else:
                self._go_back(k)
                self._act(k, epoch + 1, self.recorder.losses[k])
        self.model.stop_training = all(self.stopped)

    def _do_again(self, epoch, groups):
        """Back to where the epoch began, for all networks, and through it with these groups apart."""
        for k, optimizer in enumerate(self.optimizers):
            self._go_back(k)
            optimizer.iterations.assign(optimizer.iterations // (epoch + 1) * epoch)
        for group in groups:
            names = ", ".join(self.recorder.networks[k] for k in group)
            print(f"\n{names} met numbers that are not finite: epoch {epoch + 1} again, each of them apart")
            self.model.separate(group)
        self.recorder.forget(epoch)
        self.model.again = epoch
        self.model.stop_training = True

    def _act(self, k, epoch, loss):
        name, good = self.recorder.networks[k], self.good_epochs[k]
        again = any(known["network"] == name for known in self.recorder.divergences)
        self.stopped[k] = again or self.policy == "stop" or epoch == self.epochs
        self.optimizers[k].brake.assign(0.0 if self.stopped[k] else 0.5)
        action = "stopped" if self.stopped[k] else "retried at half the learning rate"
        weights = f"the weights that epoch {good} ended with" if good else "the weights that it began with"
        # oneDNN's ReLU makes 0 of NaN, so that the loss of spoilt weights can be finite.
        sign = "its weights are not finite" if math.isfinite(loss) else f"loss {loss:.4g}"
        message = f"{name} diverged in epoch {epoch} ({sign}): {action}, with {weights}"
        self.recorder.divergences.append({"network": name, "epoch": epoch, "action": action, "message": message})
        print("\n" + message)

    def _values(self, k):
        return [keras.ops.convert_to_numpy(variable) for variable in self.variables[k]]

    def _go_back(self, k):
        for variable, value in zip(self.variables[k], self.good[k], strict=True):
            variable.assign(value)


def _slots(optimizer):
    """The variables of an optimizer but for those of its learning rate."""
    return [v for v in optimizer.variables if v is not optimizer.iterations and v is not optimizer.brake]
