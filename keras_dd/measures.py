"""What is read off the runs of a campaign: a number of one run, or of a run and the one that it is compared with."""

import statistics

import numpy as np

from keras_dd import clocks

# What is called the end of a curve, in accuracy.
NEAR = 0.01


def _composed(report, kind):
    """With batch norm re-estimated, where it was."""
    return report.get(f"recalibrated_{kind}", report[f"composed_{kind}"])


def _hours(report, history):
    return max(clocks.positions(report, history, "unlinked")) / 3600


def _epoch(report, history):
    """Without the first one, which traces."""
    last = [row["seconds"] for row in history if row["stage"] in ("finetune", "baseline")]
    return statistics.median(np.diff(last)) if len(last) > 1 else last[0]


def _converged(report, history):
    last = [row for row in history if row["stage"] in ("finetune", "baseline")]
    accuracies = [row[f"{report['evaluated_on']}_accuracy"] for row in last]
    return next(epoch for epoch, accuracy in enumerate(accuracies, 1) if accuracy >= accuracies[-1] - NEAR)


PERCENT, SECONDS, RATIO = "{:.2f} %", "{:.2f}", "{:.2f}x"
MEASURES = {
    "accuracy": (PERCENT, lambda report, history: 100 * report["final_accuracy"]),
    "top-5 accuracy": (PERCENT, lambda report, history: 100 * report["final_top5_accuracy"]),
    "accuracy as composed": (PERCENT, lambda report, history: 100 * _composed(report, "accuracy")),
    "top-5 accuracy as composed": (PERCENT, lambda report, history: 100 * _composed(report, "top5_accuracy")),
    "error": (PERCENT, lambda report, history: 100 - 100 * report["final_accuracy"]),
    "seconds an epoch": (SECONDS, _epoch),
    "epochs to converge": ("{:.1f}", _converged),
    "hours on K devices without a link": ("{:.3f}", _hours),
    "time saved": ("{:.1f} %", lambda run, other: 100 - 100 * _epoch(*run) / _epoch(*other)),
    "speed-up on K devices without a link": (RATIO, lambda run, other: _hours(*other) / _hours(*run)),
}
MEASURES |= {
    f"accuracy of sub-network {k}": (PERCENT, lambda report, history, k=k: 100 * report["subnet_accuracy"][k - 1])
    for k in (1, 2, 3, 4)
}
