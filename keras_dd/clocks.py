"""Four clocks for one run: what its epochs took here, and what they would have taken elsewhere.

All four are computed from what one run has measured: the seconds of its stages and of its epochs, without evaluation,
on the D devices of `report["environment"]["devices"]`, among which CPUs count as one, for they share its cores.  K is
the number of parts that the run was asked for; a run without sub-networks, trained the conventional way, is given the
same K devices as one with them.

| clock | a sub-network's epochs | the full network's epochs |
| --- | --- | --- |
| one-device | as measured | as measured |
| linked | measured / sub-networks a device | measured * D / K |
| unlinked | measured / sub-networks a device | measured * D |
| flops | 3 * 2 * MACs * images, of all K | 3 * 2 * MACs * images |

Measured: all of `one-device`, and what is neither divided nor multiplied (on D = 1 device the full network of
`unlinked`; with a device for each part the sub-networks everywhere).  Ideal: that ceil(K / D) sub-networks on a device
share it equally and without loss, so that one alone, which is then as long as the longest, takes its share of their
time; and that data-parallel training is K times as fast on K devices, with no time for what they send to each other.
Where sub-networks leave cores idle unless they run at once (`keras-dd bench` measures that), the truth is later than
the clock; where devices have to talk, it is later for `linked`.  A campaign's report has an "alone_share" in the place
of the ideal share: what a step of one sub-network alone takes of that of all at once, measured.

A run on a cluster (`report["tasks"]`) has measured each sub-network alone, on devices of its own: there the longest of
them is as long as its own clock says, on `linked` and `unlinked`, and D are the devices of the task that trained the
full network.  Where some had to share a task, one alone takes its share of that.  Its `one-device` is the clock of
whoever waited for it, with the start of processes.  So it is where workers of one machine trained the sub-networks, but
these share its cores on the other clocks, as they do in one process.

Composing and re-estimating batch norm are done on one device, between both, and take their measured seconds on the
three clocks of seconds.  They have no training FLOPs (the re-estimation is a forward pass of a few thousand images).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """The name of a clock for people, as it is in a sentence, its unit, and in a sentence what it tells."""

    name: str
    unit: str
    about: str
    where: str


CLOCKS = {
    "one-device": Clock(
        "one device",
        "seconds",
        "Measured on this machine; sub-networks, where there are any, at once.",
        "on one device",
    ),
    "linked": Clock(
        "K devices, linked",
        "seconds",
        "Ideal scaling: each sub-network on a device of its own, the full network data-parallel on all K.",
        "on K linked devices",
    ),
    "unlinked": Clock(
        "K devices, no link",
        "seconds",
        "Ideal scaling: each sub-network on a machine of its own, the full network on one of them.",
        "on K devices without a link",
    ),
    "flops": Clock(
        "training FLOPs",
        "FLOPs",
        "Counted: 3 x 2 x forward MACs x images, of all networks together.",
        "by training FLOPs",
    ),
}


def positions(report, history, clock):
    """Where on a clock the epochs of a run ended.

    Args:
        report, history: of `pipeline.fit`, finished or not.
        clock: a key of `CLOCKS`.

    Returns:
        One number for each row of `history`, in the clock's unit from the start of the run.
    """
    per_subnet, per_full = _paces(report, clock)
    _, start = handover(report, history, clock)
    return [
        per_subnet * _work(row, clock) if _is_subnet(row) else start + per_full * _work(row, clock) for row in history
    ]


def handover(report, history, clock):
    """Where on a clock the full network was composed, and where its batch norm was re-estimated: (number, number).

    Both are 0 for a run without sub-networks.
    """
    seconds, (per_subnet, _) = report["seconds"], _paces(report, clock)
    ends = [_work(row, clock) for row in history if _is_subnet(row)]
    if clock == "flops":
        end = per_subnet * max(ends, default=0)
        return end, end
    longest = max(ends, default=0)
    if clock == "one-device" and report.get("tasks"):
        longest = seconds.get("subnets") or longest
    composed = per_subnet * longest + (seconds.get("compose") or 0)
    return composed, composed + (seconds.get("recalibrate") or 0)


def curve(report, history, clock):
    """The full network's accuracy against a clock: [(number, fraction), ...] in the order of time.

    As composed, with batch norm re-estimated, and after each epoch of its training; what was not measured is left out.
    """
    measured = f"{report['evaluated_on']}_accuracy"
    points = list(zip(handover(report, history, clock), map(report.get, COMPOSED), strict=True))
    rows = zip(positions(report, history, clock), history, strict=True)
    points += [(x, row.get(measured)) for x, row in rows if not _is_subnet(row)]
    if points[2:] and report.get("final_accuracy") is not None:  # a network that diverged at last was brought back
        points[-1] = points[-1][0], report["final_accuracy"]
    return [(x, accuracy) for x, accuracy in points if accuracy is not None]


def summary(report, history):
    """{clock: {"composed": number, "end": number}}: when the full network was composed, and its last epoch's end.

    What a run did not reach is left out, and so is composing where there was none.
    """
    found = {}
    for clock in CLOCKS:
        ends = [x for x, row in zip(positions(report, history, clock), history, strict=True) if not _is_subnet(row)]
        composed = {"composed": handover(report, history, clock)[0]} if report.get(COMPOSED[0]) is not None else {}
        found[clock] = composed | ({"end": max(ends)} if ends else {})
    return found


def scale(clock, end):
    """(factor, unit) in which a clock that goes up to `end` is easily read: (60, "minutes")."""
    units, least = (TIMES, 2) if CLOCKS[clock].unit == "seconds" else (FLOPS, 1)
    return next(((factor, unit) for factor, unit in units if end > least * factor), units[-1])


def shown(clock, value):
    """A number of a clock as text: "28.0 minutes"; a dash for None."""
    if value is None:
        return "–"
    factor, unit = scale(clock, value)
    return f"{value / factor:,.1f} {unit}"


COMPOSED = ("composed_accuracy", "recalibrated_accuracy")
TIMES = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
FLOPS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"))


def count(devices):
    """How many devices these names are to a clock."""
    return sum(not name.startswith("CPU") for name in devices) or 1


def _paces(report, clock):
    """What a second of all sub-networks, and of the full network, is on a clock; for FLOPs: an epoch."""
    parts, tasks = report["settings"]["parts"], _tasks(report)
    names = list(tasks.values())[-1]["devices"] if tasks else report["environment"]["devices"]
    devices = count(names)  # of the full network, whose task comes last
    if clock == "flops":
        train, batch_size = report["dataset"]["train"], report["settings"]["batch_size"]
        flops = {name: 3 * 2 * macs * (train // batch_size * batch_size) for name, macs in report["macs"].items()}
        return flops.get("subnets", parts * flops.get("subnet", 0)), flops["full"]
    # Of networks that share a task none has been measured alone: the one with the most beside it stands for all.
    beside = max((-(-task.get("networks", 1) // count(task["devices"])) for task in tasks.values()), default=0)
    alone = report.get("alone_share") or 1 / (beside or -(-parts // devices))
    return {"one-device": (1, 1), "linked": (alone, devices / parts), "unlinked": (alone, devices)}[clock]


def _tasks(report):
    """{network: task} of those trained on devices of their own; workers of one machine share its cores."""
    is_here = report["settings"].get("engine", "local") == "local"
    return {} if is_here else report.get("tasks") or {}


def _work(row, clock):
    return row["epoch"] if clock == "flops" else row["seconds"]


def _is_subnet(row):
    return row["stage"].startswith("subnet ")
