"""What a method brings, from pairs of curves of one seed: accuracy against a clock, [(x, fraction), ...]."""

import itertools
import math
import statistics

import numpy as np

# Arms whose ends differ by no more than this, over all seeds, are at equal time at their ends: epochs are whole.
EQUAL = 1.05
# A mean difference is clear from this number of standard errors on, by the number of seeds: Student's t for 95 %.
CLEAR = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31}
MANY = 2.26


def reaches(curve, accuracy):
    """Where a curve first has this accuracy, on the straight lines between its points, or None."""
    before = None
    for x, reached in curve:
        if reached >= accuracy:
            if before is None:
                return x
            since, had = before
            return since + (x - since) * (accuracy - had) / (reached - had)
        before = x, reached
    return None


def at(curve, x):
    """The accuracy at x, on the straight lines between the points of a curve; 0 before the first of them."""
    return float(np.interp(x, *zip(*curve, strict=True), left=0.0))


def pair(ours, baseline, at_ends):
    """One seed: who needs how long for the accuracy that the baseline ends with, and what is reached at equal time.

    Equal time is at the ends of both runs (`at_ends`), or else at the end of the shorter one.

    Returns:
        {"target", "ours", "baseline" (when each first reaches the target; ours may be None), "ratio" (baseline / ours,
        or None), "equal_time", "difference" (accuracy at equal time, ours - baseline), "final" (the same at the ends)}
    """
    target = baseline[-1][1]
    needed, theirs = reaches(ours, target), reaches(baseline, target)
    early, late = sorted((ours[-1][0], baseline[-1][0]))
    equal_time = late if at_ends else early
    return {
        "target": target,
        "ours": needed,
        "baseline": theirs,
        "ratio": theirs / needed if needed else None,
        "equal_time": equal_time,
        "difference": at(ours, equal_time) - at(baseline, equal_time),
        "final": ours[-1][1] - target,
    }


def compared(ours, baseline, shorter=()):
    """Two arms, a curve a seed each: {"pairs": each seed's `pair`, "summary": all of them}.

    Of baselines of several lengths, which were planned to end with their schedules, `shorter` are the others.  Where
    ours ends between two of them it is compared there, with a straight line between their ends.

    The summary has "seeds", "reached" (seeds in which ours reaches the target), "times" (the mean end of ours over that
    of the baseline), and "ratio" (of the seeds that reach the target), "difference" and "final" as `spread` gives them;
    with `shorter` baselines also "between", whether ours ends between two lengths, and "as_fast": what a baseline of
    the accuracy that ours ends with takes, over its time, of the means over seeds; None where none has that accuracy.
    """
    times = _mean_end(ours)[0] / _mean_end(baseline)[0]
    pairs = [pair(*both, is_together(times)) for both in zip(ours, baseline, strict=True)]
    found = {}
    if shorter:
        lengths = sorted([*shorter, baseline], key=_mean_end)
        line, (x, accuracy) = [_mean_end(runs) for runs in lengths], _mean_end(ours)
        needed, places = _on(line, accuracy), [place for place, _ in line]
        found["between"] = places[0] / EQUAL <= x <= EQUAL * places[-1]
        found["as_fast"] = needed and needed / x
        # Where the means are: of a single seed, a shorter run may have met what made it last longer.
        for each, run, *ends in zip(pairs, ours, *lengths, strict=True) if found["between"] else ():
            theirs = float(np.interp(x, places, [end[-1][1] for end in ends]))
            each |= {"equal_time": x, "difference": run[-1][1] - theirs}
    ratios = [each["ratio"] for each in pairs if each["ratio"] is not None]
    differences = {name: spread([each[name] for each in pairs]) for name in ("difference", "final")}
    found |= {"seeds": len(pairs), "reached": len(ratios), "times": times, "ratio": spread(ratios)} | differences
    return {"pairs": pairs, "summary": found}


def _mean_end(runs):
    """(x, accuracy) at the end, of all seeds."""
    return tuple(map(statistics.mean, zip(*(run[-1] for run in runs), strict=True)))


def _on(line, accuracy):
    """Where straight lines between points, on which accuracy rises, have this one; None where they have not."""
    for (x, low), (end, high) in itertools.pairwise(line):
        if low <= accuracy <= high and low < high:
            return x + (end - x) * (accuracy - low) / (high - low)
    return None


def is_together(times):
    """Whether arms end together, whose ends are as `times` to 1."""
    return 1 / EQUAL <= times <= EQUAL


def is_between(summary):
    """Whether ours ends between baselines of several lengths, so that none is met in mid-schedule."""
    return summary.get("between", False)


def is_fair(summary):
    """Whether there is an equal time at which the schedules of both arms have ended."""
    return is_between(summary) or is_together(summary["times"])


def spread(values):
    """{"mean", "stdev"}: the standard deviation of the sample, None for one value; None for no value."""
    if not values:
        return None
    return {"mean": statistics.mean(values), "stdev": statistics.stdev(values) if len(values) > 1 else None}


def sentence(baseline, clock, found):
    """The verdict that follows from a summary of `compared`, and from nothing else."""
    when = "at equal time" if is_fair(found) else f"at the end, after {found['times']:.2f}x its time,"
    difference = found["difference" if is_fair(found) else "final"]
    return (
        f"Against the {baseline} baseline, {clock}: decomposition {_speed(found)}, and {when} its accuracy is "
        f"{points(difference)} points: {judgement(found)}."
    )


def points(found):
    """A spread of fractions in percentage points: "+0.42 ± 0.10"."""
    mean, stdev = round(100 * found["mean"], 2) + 0.0, found["stdev"]  # never -0.00
    return f"{mean:+.2f}" + (f" ± {100 * stdev:.2f}" if stdev is not None else "")


def judgement(found):
    """Whether the difference at equal time is more than what seeds make of it.

    Where the arms do not end together, only one that has less time and does better at its end, or more and worse, can
    be judged: at equal time the longer one is in mid-schedule, where it is worse than a run of that length would be.
    """
    seeds, fair = found["seeds"], is_fair(found)
    difference = found["difference" if fair else "final"]
    if seeds == 1:
        return "one seed, which cannot tell more"
    error = difference["stdev"] / math.sqrt(seeds)
    is_clear = abs(difference["mean"]) > CLEAR.get(seeds, MANY) * error
    if not fair and not (is_clear and (difference["mean"] > 0) is (found["times"] < 1)):
        return "not judged, because one of them had more time"
    if not is_clear:
        return f"no clear difference over {seeds} seeds"
    return f"{'better' if difference['mean'] > 0 else 'worse'}, over {seeds} seeds"


def _speed(found):
    seeds, reached = found["seeds"], found["reached"]
    if is_between(found):
        if found["as_fast"]:
            return f"is {found['as_fast']:.2f}x as fast as a baseline that ends with its accuracy"
        return "ends with an accuracy that none of the lengths of the baseline has"
    if not reached:
        return "does not reach its final accuracy" + (f" in any of {seeds} seeds" if seeds > 1 else "")
    speed = f"{found['ratio']['mean']:.2f}x as fast"
    if reached == seeds:
        return f"reaches its final accuracy {speed}"
    return f"reaches its final accuracy in {reached} of {seeds} seeds only, there {speed}"
