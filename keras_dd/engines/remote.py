"""A stage of training as tasks of a cluster: started, listened to, and started again where a worker was lost."""

import itertools
import re
from typing import Protocol

import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from keras_dd import rundir, snapshot
from keras_dd.config import UserError
from keras_dd.decomposition import Decomposition
from keras_dd.engines import tasks
from keras_dd.graph import copy, plain
from keras_dd.scalars import Scalars

# A task may lose so many workers, one after another without a snapshot between them, before it is given up.
LOSSES = 3
MOMENT = 1  # seconds from one message of a task on how many steps are done to the next


class Lost(Exception):
    """A task that ended without an answer: its worker was killed, or its machine is gone."""


class GivenUp(OSError):
    """A failure of the machines, not of what was asked for: tasks lost again and again, a cluster that is gone."""


class Cluster(Protocol):
    """What an engine has to do.  A handle is whatever `submit` gives."""

    def slots(self):
        """How many tasks of sub-networks it can do at the same time."""

    def data_of(self, job):
        """The images that a task is given, as `tasks.own_data` has them; None where it reads them itself."""

    def begin(self, run_dir, data):
        """Tasks of this run follow, which work on these images."""

    def submit(self, task, whole, last):
        """A handle of the task, which goes on from its `last` snapshot (the path of a file, or None).

        `whole`: give it all of a machine, and not the share of a sub-network.
        """

    def ended(self, handles):
        """Those of the handles whose task has ended, after a moment of waiting."""

    def messages(self):
        """What tasks have sent since: a list of (the task's name, kind, content)."""

    def result(self, handle):
        """What the task of a handle that has ended returned.  Raises `Lost`, or what the task raised."""

    def cancel(self, handle):
        """End a task."""


def ready(job, stage, recorder, run_dir, cluster):
    """`engines.ready` where the networks of the stage are tasks of a cluster.

    Each sub-network is a task of its own; where the cluster has no place for so many at a time, some share one, and
    train at once there.  Nothing is half done here, so that a signal may end the stage at any time.
    """
    folder, mark = run_dir / snapshot.FOLDER, rundir.seal(run_dir)
    groups = begun(recorder.networks, folder)
    rest = [name for name in recorder.networks if name not in itertools.chain(*groups)]
    groups += dealt(rest, max(1, min(cluster.slots() - len(groups), len(rest)))) if rest else []
    groups = {tasks.title(names): names for names in groups}
    found = {name: snapshot.find(folder, tasks.label(name), mark) for name in groups}
    known = {name: each[1] for name, each in found.items() if each}
    # What the recorder of a task knew: the first of the watchers of a snapshot.
    states = {name: facts["watchers"][0] for name, facts in known.items()}
    recorder.earlier = max((state["earlier"] for state in states.values()), default=0.0)
    # A bar a task, on a terminal only; what is printed meanwhile comes above them.
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    has_bars = rich.get_console().is_terminal
    bars, bar_of = Progress(*columns, transient=True, disable=not has_bars), {}

    def hear(name, kind, content):
        if kind == "said":
            print(f"{name}: {numbered(content, groups[name])}")
        elif kind == "steps":
            bars.update(bar_of[name], completed=content)
        elif kind == "snapshot":
            snapshot.keep(folder, tasks.label(name), content)
        elif kind == "begun":
            recorder.tasks |= dict.fromkeys(groups[name], content | {"networks": len(groups[name])})
            print(f"{name}: on {content['host']} ({', '.join(content['devices'])}), process {content['process']}")
        else:
            states[name] = content
            _gather(recorder, [states[each] for each in groups if each in states])

    def trained(networks):
        are_parts = isinstance(networks, Decomposition)
        named = dict(zip(recorder.networks, networks if are_parts else [networks], strict=True))
        boxes = dict(zip(named, networks.boxes, strict=True)) if are_parts else {}
        given = {}
        for name, names in groups.items():
            some = {each: named[each] for each in names}
            its_boxes = [boxes[each] for each in names] if boxes else None
            given[name] = tasks.task(job, stage, some, its_boxes, mark, MOMENT if has_bars else None)
        # Those that were over when the run was interrupted need no machine, only what their last snapshot holds.
        over = [name for name, facts in known.items() if facts["position"][0] == job.stages[stage].epochs]
        results = {name: tasks.learned(job, given[name], folder) for name in over}
        cluster.begin(run_dir, cluster.data_of(job))
        left = {name: given[name] for name in given if name not in over}
        with bars:
            for name in left:
                epoch, step = known[name]["position"] if name in known else (0, 0)
                done = epoch * job.steps_per_epoch + step
                total = job.stages[stage].epochs * job.steps_per_epoch
                bar_of[name] = bars.add_task(name, completed=done, total=total)
            results |= run(cluster, left, folder, hear, not are_parts)
        for name, result in results.items():
            hear(name, "state", result["state"])
        if job.settings.tensorboard:
            _log(Scalars(recorder, run_dir), job.stages[stage].epochs)
        weights = {
            each: its
            for name, names in groups.items()
            for each, its in zip(names, results[name]["weights"], strict=True)
        }
        found = tuple(_with(network, weights[name]) for name, network in named.items())
        return Decomposition(found, networks.boxes) if are_parts else found[0]

    return trained


def begun(networks, folder):
    """The networks of the tasks that an interrupted stage has left snapshots of: lists of names.

    However many machines there are now, what was learnt is gone on with.
    """
    found = {}
    for path in folder.glob("*.snapshot"):
        if named := re.fullmatch(r"(subnet|finetune|baseline)(\d*)(?:to(\d+))?", path.name.rpartition("-")[0]):
            kind, first, last = named.groups()
            numbers = range(int(first), int(last or first) + 1) if first else [""]
            found[first] = [f"{kind} {number}".strip() for number in numbers]
    return [
        found[first] for first in sorted(found, key=lambda each: int(each or 0)) if set(found[first]) <= {*networks}
    ]


def numbered(line, networks):
    """A line of a task, in which `accuracy_1` is that of its first network, with the numbers of the whole run."""
    return re.sub(r"(?<=accuracy_)\d+", lambda found: networks[int(found[0]) - 1].rpartition(" ")[2], line)


def dealt(items, count):
    """`items` in `count` runs of nearly equal length."""
    whole, more = divmod(len(items), count)
    ends = [number * whole + min(number, more) for number in range(count + 1)]
    return [items[first:last] for first, last in itertools.pairwise(ends)]


def run(cluster, given, folder, hear, whole):
    """Run tasks to their ends, and give what they return.

    Args:
        cluster: a `Cluster`.
        given: {name: `tasks.task`}.
        folder: where the snapshots lie that a lost task goes on from.
        hear: `hear(name, kind, content)` for each message.
        whole: of `Cluster.submit`.

    Returns:
        {name: what `tasks.work` returns}.

    Raises:
        UserError: what a task refuses.
        GivenUp: a task that lost `LOSSES` workers without getting on.
    """

    def submit(name):
        return cluster.submit(given[name], whole, last(name))

    def last(name):
        return next(reversed(snapshot.files(folder, tasks.label(name))), None)

    results, losses, running = {}, {}, {}
    try:
        for name in given:
            running[name] = submit(name)
        while running:
            ended = cluster.ended(list(running.values()))
            for message in cluster.messages():
                hear(*message)
            for name in [name for name, handle in running.items() if handle in ended]:
                try:
                    results[name] = cluster.result(running.pop(name))
                except Lost as loss:
                    at, times = losses.get(name, (None, 0))
                    losses[name] = last(name), 1 + (times if last(name) == at else 0)
                    if losses[name][1] == LOSSES:
                        raise GivenUp(
                            f"{name} lost {LOSSES} workers without getting on ({loss}): look at the memory of the "
                            "machines, and go on with --resume"
                        ) from None
                    where = "its last snapshot" if last(name) else "its beginning"
                    print(f"{name}: lost its worker ({loss}), another one goes on from {where}")
                    running[name] = submit(name)
                    continue
                if isinstance(results[name], str):
                    raise UserError(f"{name}: {results[name]}")
    finally:
        for handle in running.values():
            cluster.cancel(handle)
    return results


def _gather(recorder, every):
    """What the recorders of all tasks know, as one.

    The clock of the stage goes on here while they train, wait for a machine and start; only the evaluations of the task
    that trains longest are no part of it.
    """
    place = {name: number for number, name in enumerate(recorder.networks)}
    rows = (row for state in every for row in state["rows"])
    recorder.rows = sorted(rows, key=lambda row: (row["epoch"], place[row["stage"]]))
    recorder.divergences = [each for state in every for each in state["divergences"]]
    recorder.evaluation_seconds = max(every, key=lambda state: state["seconds"])["evaluation_seconds"]


def _log(scalars, epochs):
    for epoch in range(epochs):
        scalars.on_epoch_end(epoch)
    scalars.on_train_end()


def _with(network, weights):
    found = copy(network, plain)
    found.set_weights(weights)
    return found
