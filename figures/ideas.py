"""What was tried to get ahead of a tuned baseline: `python figures/ideas.py` writes the tables of docs/ideas.md.

And the pictures beside them, figures/trials.png and scales.png (`trial_outcomes.py`), and airbench.png.
"""

import csv
import json
import statistics

import airbench as script
from tables import FIGURES, filled, spread
from trial_outcomes import PROCESSORS, draw, draw_scales, scales, trials

from keras_dd import comparison_report, verdict

PAGE = FIGURES.parent / "docs" / "ideas.md"


def starts():
    """Where each campaign's full network was composed, and where its tuned baseline was by then, on two clocks."""
    lines = [
        "| campaign | composed and re-estimated, % | one device: after, s | the baseline by then, % "
        "| no link: after, s | the baseline by then, % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/comparison.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        cells = [f"[{path.parent.name}](../figures/{path.parent.name}/comparison.md)"]
        for clock in "one-device", "unlinked":
            ours, its = (found["curves"][clock][arm] for arm in ("decomposed", "tuned"))
            handed = [run[1] for run in ours]  # behind the re-estimation of batch norm
            by_then = [
                verdict.at([(0, 1 / found["timing"]["decomposed"]["classes"]), *run], x)
                for run, (x, _) in zip(its, handed, strict=True)
            ]
            cells += [spread([accuracy for _, accuracy in handed])] if clock == "one-device" else []
            cells += [f"{statistics.mean(x for x, _ in handed):.0f}", spread(by_then)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def epochs():
    """What sub-networks take of the full network's time, and what the first epoch of fine-tuning makes of the start."""
    lines = [
        "| run | width | sub-networks, s an epoch | full network, s an epoch | share of time | of multiply-adds "
        "| composed and re-estimated, % | after an epoch of fine-tuning, % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if not report["boxes"]:
            continue
        with open(path.with_name("history.csv"), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        # The last row of each stage stays.
        ends = {row["stage"]: float(row["seconds"]) / int(row["epoch"]) for row in rows}
        [first] = [row["test_accuracy"] for row in rows if row["stage"] == "finetune" and row["epoch"] == "1"]
        subnets, full = ends["subnet 1"], ends["finetune"]
        macs = report["macs"].get("subnets", report["settings"]["parts"] * report["macs"]["subnet"])
        cells = [f"[{path.parent.name}](../figures/{path.parent.name}/report.md)", str(report["settings"]["width"])]
        cells += [f"{subnets:.1f}", f"{full:.1f}", f"{subnets / full:.2f}", f"{macs / report['macs']['full']:.2f}"]
        cells += [f"{100 * each:.1f}" for each in (report["recalibrated_accuracy"], float(first))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# {(campaign, arm of its ablation or variant): (idea, what was expected of it, what became of it)}
IDEAS = {
    ("ablation", "noise:0.3"): (
        "noise between the parts, 0.3 of He's",
        "a little: they could work together sooner",
        "an option",
    ),
    ("ablation", "noise:1"): ("the same, as strong as He's", "worse at the start, better later", "an option"),
    ("ablation", "orthogonal:1"): ("orthogonal kernels between the parts", "as noise", "an option"),
    ("ablation", "BN not re-estimated"): (
        "no re-estimation of batch norm",
        "its time is saved, if fine-tuning corrects the statistics",
        "an option; the number before fine-tuning is that much lower",
    ),
    ("ablation", "overlap 0"): ("boxes that do not overlap", "0.64 of the time, a worse start", "the default"),
    ("ablation", "overlap 4"): ("boxes that overlap by 4 pixels", "0.81 of the time, a worse start", "an option"),
    ("ablation", "head x 2"): (
        "scores of the composed head doubled",
        "less shrinking of the scores to unlearn",
        "an option",
    ),
    ("ablation", "head x 4"): ("the same, by four", "as before, or too much", "an option"),
    ("cifar10-speednet", "overlap=0,boxes=shrunk"): (
        "sub-networks see the whole image, shrunk to 16x16",
        "better sub-networks in less time, with features of another scale",
        "removed; commit 06fc383 has it",
    ),
}


def ideas():
    """One row an idea: what was expected, and what it brought against decomposition as it is."""
    lines = [
        "| idea | expected | points, at the end | seeds | campaign | what became of it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (campaign, name), (idea, expected, fate) in IDEAS.items():
        points, seeds = _brought(campaign, name)
        where = "reproduction" if campaign == "ablation" else "comparison"
        link = f"[{campaign}](../figures/{campaign}/{where}.md)"
        lines.append("| " + " | ".join([idea, expected, points, str(seeds), link, fate]) + " |")
    return "\n".join(lines)


def _brought(campaign, name):
    """(points, seeds) of an arm of the ablation, or of a variant of a comparison, against decomposition as it is."""
    if campaign == "ablation":
        found = json.loads((FIGURES / campaign / "reproduction.json").read_text(encoding="utf-8"))
        ends = {each["arm"]: each["ours"] for each in found["values"] if each["measure"] == "accuracy"}
        first, *_ = ends.values()
        gains = [(ours - its) / 100 for ours, its in zip(ends[name], first, strict=True)]
        return verdict.points(verdict.spread(gains)), len(gains)
    found = json.loads((FIGURES / campaign / "comparison.json").read_text(encoding="utf-8"))
    summary = found["variants"][name]["against"]["decomposed"][found["clock"]]["summary"]
    return f"{verdict.points(summary['final'])}: {verdict.judgement(summary)}", summary["seeds"]


def lengths():
    """One row a campaign with baselines of several lengths: their ends, ours, and points at equal time a clock."""
    lines = [
        "| campaign, seeds | ours, % | epochs | its lengths, % | "
        + " | ".join(f"points, {name}" for name in comparison_report.SHORT)
        + " |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/comparison.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        against = found["against"].get("tuned", {})
        if not any("between" in each["summary"] for each in against.values()):
            continue
        arms = {arm: facts for arm, facts in found["arms"].items() if arm.startswith("tuned")}
        ends = [f"{facts['epochs']['full']} epochs {spread(facts['final_accuracy'])}" for facts in arms.values()]
        ours = found["arms"]["decomposed"]
        cells = [f"[{path.parent.name}](../figures/{path.parent.name}/comparison.md), {found['seeds']}"]
        cells += [spread(ours["final_accuracy"]), f"{ours['epochs']['subnets']} + {ours['epochs']['full']}"]
        cells += [", ".join(reversed(ends)), *(comparison_report.gain(each["summary"]) for each in against.values())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def airbench():
    """The published speed record's script, and speednet here by its recipe, on one machine."""
    found = json.loads(script.OUTPUT.read_text(encoding="utf-8"))
    lines = [
        "| trained | epochs | seconds | accuracy, % | by six views, % | on | seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in sorted(found["runs"], key=lambda run: (run["seed"], list(script.NAMES).index(run["arm"]))):
        seconds, accuracy = run["curve"][-1]
        cells = [script.NAMES[run["arm"]], script.EPOCHS[run["arm"]], f"{seconds:,.0f}"]
        cells += [f"{100 * each:.2f}" for each in (accuracy, run["views_accuracy"])]
        cells += [PROCESSORS.get(run["processor"], run["processor"]), str(run["seed"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


TABLES = (starts, epochs, ideas, trials, scales, lengths, airbench)

if __name__ == "__main__":
    draw(FIGURES / "trials.png")
    draw_scales(FIGURES / "scales.png")
    script.draw(FIGURES / "airbench.png")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
