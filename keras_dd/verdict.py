"""What a method brings, from pairs of curves of one seed: accuracy against a clock, [(x, fraction), ...]."""

import math
import statistics

# Ends of runs that differ by no more than this are at equal time: epochs are whole, and so is what is measured.
EQUAL = 1.05
# A mean difference is clear from this number of standard errors on, by the number of seeds: Student's t for 95 %.
CLEAR = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31}
MANY = 2.26


def reaches(curve, accuracy):
    """Where a curve first has this accuracy or more, or None."""
    return next((x for x, reached in curve if reached >= accuracy), None)


def at(curve, x):
    """The accuracy that was last measured up to x; 0 where nothing was."""
    return next((accuracy for when, accuracy in reversed(curve) if when <= x), 0.0)


def pair(ours, baseline):
    """One seed: who needs how long for the accuracy that the baseline ends with, and what is reached at equal time.

    Equal time is the end of the shorter run, or of both where they end within 5 %.

    Returns:
        {"target", "ours", "baseline" (when each first reaches the target; ours may be None), "ratio" (baseline / ours,
        or None), "equal_time", "difference" (accuracy at equal time, ours - baseline), "final" (the same at the ends)}
    """
    target = baseline[-1][1]
    needed, theirs = reaches(ours, target), reaches(baseline, target)
    early, late = sorted((ours[-1][0], baseline[-1][0]))
    equal_time = late if late <= EQUAL * early else early
    return {
        "target": target,
        "ours": needed,
        "baseline": theirs,
        "ratio": theirs / needed if needed else None,
        "equal_time": equal_time,
        "difference": at(ours, equal_time) - at(baseline, equal_time),
        "final": ours[-1][1] - target,
    }


def summary(pairs):
    """Over the seeds: {"seeds", "reached", "ratio", "difference", "final"}, the last three as `spread` gives them.

    The ratio is that of the seeds that reach the target.
    """
    ratios = [each["ratio"] for each in pairs if each["ratio"] is not None]
    differences = {name: spread([each[name] for each in pairs]) for name in ("difference", "final")}
    return {"seeds": len(pairs), "reached": len(ratios), "ratio": spread(ratios)} | differences


def spread(values):
    """{"mean", "stdev"}: the standard deviation of the sample, None for one value; None for no value."""
    if not values:
        return None
    return {"mean": statistics.mean(values), "stdev": statistics.stdev(values) if len(values) > 1 else None}


def sentence(baseline, clock, found):
    """The verdict that follows from a `summary`, and from nothing else."""
    return (
        f"Against the {baseline} baseline, {clock}: decomposition {_speed(found)}, and at equal time its accuracy is "
        f"{points(found['difference'])} points: {judgement(found)}."
    )


def points(found):
    """A spread of fractions in percentage points: "+0.42 ± 0.10"."""
    mean, stdev = round(100 * found["mean"], 2) + 0.0, found["stdev"]  # never -0.00
    return f"{mean:+.2f}" + (f" ± {100 * stdev:.2f}" if stdev is not None else "")


def judgement(found):
    """Whether the difference at equal time is more than what seeds make of it."""
    seeds, difference = found["seeds"], found["difference"]
    if seeds == 1:
        return "one seed, which cannot tell more"
    error = difference["stdev"] / math.sqrt(seeds)
    if abs(difference["mean"]) <= CLEAR.get(seeds, MANY) * error:
        return f"no clear difference over {seeds} seeds"
    return f"{'better' if difference['mean'] > 0 else 'worse'}, over {seeds} seeds"


def _speed(found):
    seeds, reached = found["seeds"], found["reached"]
    if not reached:
        return "does not reach its final accuracy" + (f" in any of {seeds} seeds" if seeds > 1 else "")
    speed = f"{found['ratio']['mean']:.2f}x as fast"
    if reached == seeds:
        return f"reaches its final accuracy {speed}"
    return f"reaches its final accuracy in {reached} of {seeds} seeds only, there {speed}"
