"""Ideas to get ahead of a tuned baseline, tried in pairs: `python figures/trials.py --data-dir DIR` writes trials.json.

Speednet, half of CIFAR-10's training images, Muon.  Every trial trains the sub-networks, joins them and fine-tunes for
three epochs, and an idea changes one of these; the baseline is trained for two to five.  So an idea can be told in
epochs of the full network: what it is worth, and what it costs.  Accuracies are those of held-out training images.
Rows that trials.json has from this kind of machine are not made again; `--only NAME` makes one, `--help` names all.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path

import keras
from trial_ideas import BASELINES, CASES, IDEAS, NAMES, SCALED

from keras_dd import decompose, devices, rundir, train
from keras_dd.batchnorm import reestimate
from keras_dd.composition import compose
from keras_dd.config import Settings
from keras_dd.decomposition import Decomposition
from keras_dd.evaluation import accuracies
from keras_dd.files import replacing
from keras_dd.job import prepare

OUTPUT = Path(__file__).with_suffix(".json")
SETTINGS = {
    "dataset": "cifar10",
    "model": "speednet",
    "width": 32,
    "recipe": "speed-muon",
    "dtype": "auto",
    "batch_size": 500,
    "train_images": 20_000,
    "validation_split": 0.1,
}


class Steps(keras.callbacks.Callback):
    """Seconds of training, without tracing: the median step times the steps."""

    def on_train_begin(self, logs=None):
        self.each, self.last = [], time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.each.append(now - self.last)
        self.last = now

    @property
    def seconds(self):
        return len(self.each) * statistics.median(self.each[1:] or self.each)


class Window(keras.callbacks.Callback):
    """A part of a schedule: from the step `begin` on, and to the end of `epochs` epochs."""

    def __init__(self, begin=0, epochs=None):
        super().__init__()
        self.begin, self.epochs = begin, epochs

    def on_train_begin(self, logs=None):
        for optimizer in getattr(self.model, "optimizers", [self.model.optimizer]):
            optimizer.iterations.assign(self.begin)

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epochs


class Trial:
    """One run of one seed: its full network, what trains it, and the seconds of each kind of training.

    `alone` is the share of the sub-networks' seconds that one of them takes by itself, where not all train at once.
    `trained` keeps sub-networks between the trials of a seed: those of equal settings are the same.
    """

    def __init__(self, job, epochs, trained):
        self.job, self.epochs, self.trained = job, epochs, trained
        self.fed, self.start, self.alone = 0, None, None
        self.seconds = {"subnets": 0.0, "full": 0.0, "other": 0.0}

    def subnets(self, epochs=2, overlap=None, boxes="fixed", share=1.0, parts=None, callbacks=()):
        """Trained sub-networks, new ones or `parts` trained on, in epochs of all steps or of a `share` of them."""
        key = epochs, overlap, boxes, share
        known = self.trained.get(key) if parts is None and not callbacks else None
        if known is None:
            new = parts or decompose(self.job.model, self.job.settings.parts, overlap)
            stage = dataclasses.replace(self.job.stages["subnets"].lasting(epochs), boxes=boxes)
            steps = round(share * self.job.steps_per_epoch)
            known = self._fit(train.fit_subnets, new, stage, steps, callbacks) if epochs else (new, 0.0)
            if parts is None and not callbacks:
                self.trained[key] = known
        found, seconds = known
        self.fed += epochs
        self.seconds["subnets"] += seconds
        return found

    def full(self, model, more=0, rate=None, schedule=None, window=None, callbacks=()):
        """The full network, trained; with a `window` of (first step, epochs), for a part of the schedule."""
        epochs = self.epochs + more
        stage = self.job.stages["finetune"].lasting(epochs)
        stage = dataclasses.replace(
            stage, learning_rate=rate or stage.learning_rate, schedule=schedule or stage.schedule
        )
        lasts = window[1] if window else epochs
        callbacks = [*callbacks, *([Window(*window)] if window else [])]
        found, seconds = self._fit(train.fit_full, model, stage, self.job.steps_per_epoch, callbacks)
        self.fed += lasts
        self.seconds["full"] += seconds
        return found

    def joined(self, parts, off_diagonal="zeros", head_scale=1.0, model=None):
        """The full network of its parts, with batch norm re-estimated."""
        whole = compose(parts, model or self.job.model, off_diagonal, self.job.settings.seed, head_scale=head_scale)
        return reestimate(whole, self.job.whole_images())

    def begins(self, model):
        """Notes how good the network is before it is fine-tuned."""
        self.start = self.accuracy(model)
        return model

    def other(self, work, *args):
        """`work(*args)`, whose seconds count."""
        began = time.perf_counter()
        found = work(*args)
        self.seconds["other"] += time.perf_counter() - began
        return found

    def accuracy(self, model):
        return accuracies(model, self.job.evaluation())[0]

    def _fit(self, fit, networks, stage, steps, callbacks):
        clock, offset = Steps(), self.fed

        def batches(epoch, step):
            return self.job.batches(offset + epoch, step)

        found = fit(networks, stage, batches, steps, None, self.job.devices, [clock, *callbacks], a_call=1)
        return found, clock.seconds


def alone(job):
    """Seconds of a step of one sub-network alone."""
    steps, parts = Steps(), decompose(job.model, job.settings.parts)
    one = Decomposition(parts.subnets[:1], parts.boxes[:1])
    stage = job.stages["subnets"].lasting(1)
    train.fit_subnets(one, stage, job.batches, job.steps_per_epoch, None, job.devices, [steps], a_call=1)
    return steps.seconds / len(steps.each)


def made(case, seed, data_dir, names):
    """Rows of one seed of a case, one after another."""
    changed, epochs = CASES[case]
    settings = Settings(**SETTINGS | changed, data_dir=data_dir, seed=seed)
    job, trained = prepare(settings), {}
    share = None
    for name in names:
        if epochs + BASELINES.get(name, 0) < 1:
            continue
        keras.utils.set_random_seed(seed)
        trial = Trial(job, epochs, trained)
        if name in BASELINES:
            model = trial.full(job.model, BASELINES[name])
        else:
            model = IDEAS[name].run(trial)
            share = share or alone(job)
        yield {
            "case": case,
            "idea": name,
            "seed": seed,
            "processor": devices.processor(),
            "start": trial.start,
            "accuracy": trial.accuracy(model),
            "seconds": trial.seconds,
            "alone_step": share,
            "alone_share": trial.alone,
            "steps_per_epoch": job.steps_per_epoch,
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="TensorFlow Datasets' folder")
    parser.add_argument("--case", choices=CASES, default="w32", help="[default: %(default)s]")
    parser.add_argument("--seeds", type=int, default=3, help="[default: %(default)s]")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES, help=", ".join(NAMES))
    parser.add_argument("--output", type=Path, default=OUTPUT, help="[default: trials.json beside this file]")
    asked = parser.parse_args()
    command = " ".join(["python", "figures/trials.py", *sys.argv[1:]])
    found = json.loads(asked.output.read_text(encoding="utf-8")) if asked.output.exists() else {"rows": [], "made": []}
    here = devices.processor()  # times of another one are no measure of this one's
    there = {(row["case"], row["idea"], row["seed"]) for row in found["rows"] if row["processor"] == here}
    names = asked.only or (NAMES if asked.case == "w32" else [*BASELINES, *SCALED])
    found["made"].append({"command": command, **rundir.environment()})
    for seed in range(asked.seeds):
        missing = [name for name in names if (asked.case, name, seed) not in there]
        for row in made(asked.case, seed, asked.data_dir, missing) if missing else ():
            found["rows"].append(row)
            start = "" if row["start"] is None else f"{100 * row['start']:6.2f} % ->"
            print(f"{row['case']}, seed {seed}, {row['idea']:32}{start:>12}{100 * row['accuracy']:6.2f} %", flush=True)
            with replacing(asked.output) as partial:
                partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
