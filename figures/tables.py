"""Write the README's tables from the committed results: `python figures/tables.py`.

Each table stands between `<!-- name -->` and `<!-- /name -->`; the numbers are those of the JSON files in this folder.
"""

import json
import statistics
from collections import Counter
from pathlib import Path

from keras_dd import comparison_report, reproduction_report, verdict, zoo
from keras_dd.clocks import CLOCKS
from keras_dd.report import markdown_table
from keras_dd.zoo import showing

FIGURES = Path(__file__).parent
README = FIGURES.parent / "README.md"
PERFORMANCE = FIGURES.parent / "docs" / "performance.md"


def runs():
    """One row a committed run: what the sub-networks, the composed and the fine-tuned network reach, and the time."""
    lines = [
        "| run | sub-networks, % | composed, % | BN re-estimated, % | fine-tuned, % | by views, % | sub-networks, s "
        "| fine-tune, s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        name = f"[{path.parent.name}](figures/{path.parent.name}/report.md)"
        views = report.get("views_accuracy")
        views = "–" if views is None else f"{100 * views:.1f}"
        if "baseline" in report["seconds"]:  # trained conventionally: no sub-networks
            final, seconds = f"{100 * report['final_accuracy']:.1f}", f"{report['seconds']['baseline']:,.0f}"
            cells = ["–"] * 3 + [final, views, "–", seconds]
            lines.append("| " + " | ".join([name, *cells]) + " |")
            continue
        subnets = [100 * accuracy for accuracy in report["subnet_accuracy"]]
        reached = [100 * report[f"{stage}_accuracy"] for stage in ("composed", "recalibrated", "final")]
        seconds = [report["seconds"][stage] for stage in ("subnets", "finetune")]
        cells = [f"{min(subnets):.1f} to {max(subnets):.1f}", *(f"{r:.1f}" for r in reached), views]
        lines.append("| " + " | ".join([name, *cells, *(f"{s:,.0f}" for s in seconds)]) + " |")
    return "\n".join(lines)


def comparisons():
    """The verdict in one line, that of each committed comparison, and one row for each of its baselines."""
    verdicts, judged = [], {}
    lines = [
        "| campaign, seeds | baseline | ours, % | its, % | ours, s | its, s | points, one device | linked | no link "
        "| FLOPs |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/comparison.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        name = f"[{path.parent.name}](figures/{path.parent.name}/comparison.md)"
        verdicts += [f"- {name}: {sentence}" for sentence in found["verdict"]]
        for baseline, clocks in found["against"].items():
            arms = [found["arms"][arm] for arm in ("decomposed", baseline)]
            ends = [spread(arm["final_accuracy"]) for arm in arms]
            seconds = [f"{statistics.mean(arm['seconds']):.0f}" for arm in arms]
            gains = [comparison_report.gain(each["summary"]) for each in clocks.values()]
            for clock, each in clocks.items() if baseline == "tuned" else ():
                said = verdict.judgement(each["summary"]).partition(",")[0].partition(" over")[0]
                judged.setdefault(clock, []).append(said)
            lines.append("| " + " | ".join([f"{name}, {found['seeds']}", baseline, *ends, *seconds, *gains]) + " |")
    return "\n".join([_in_one_line(judged), "", *verdicts, "", *lines])


def _in_one_line(judged):
    """How often decomposition is better than the tuned baseline, on each clock: {clock: [judgement of a campaign]}."""
    parts = [
        f"{CLOCKS[clock].name}: " + ", ".join(f"{said} in {count}" for said, count in Counter(each).items())
        for clock, each in judged.items()
    ]
    return f"**Against tuned baselines, of {len(judged['one-device'])} campaigns: {'; '.join(parts)}.**"


def reproductions():
    """The committed reproductions: published numbers beside ours, with what was shrunk."""
    blocks = []
    for path in sorted(FIGURES.glob("*/reproduction.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        first, *rest = reproduction_report.head(found)
        name = f"[{first}](figures/{path.parent.name}/reproduction.md)"
        blocks.append(f"{name}; {'; '.join(rest)}:\n\n{markdown_table(reproduction_report.lines(found))}")
    return "\n\n".join(blocks)


def spread(fractions):
    """Mean and standard deviation in percent."""
    found = verdict.spread(fractions)
    return f"{100 * found['mean']:.2f}" + (f" ± {100 * found['stdev']:.2f}" if found["stdev"] is not None else "")


def commands():
    """The exact commands of the committed runs and campaigns."""
    kinds = ("report", "comparison", "reproduction")
    files = [path for kind in kinds for path in sorted(FIGURES.glob(f"*/{kind}.json"))]
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return "\n".join(["```bash", *(report["command"] for report in reports), "```"])


# {file: machine of docs/performance.md}, of two cores each.
MACHINES = {
    "bench-amx": "D",
    "bench-amx-full": "D",
    "bench-amx-bfloat16": "D",
    "bench-amx-width8": "D",
    "bench": "C",
    "bench-bfloat16": "C",
    "bench-width8": "C",
    "bench-width8-bfloat16": "C",
    "bench-speednet": "C",
    "bench-zen4": "E",
    "bench-zen4-bfloat16": "E",
    "bench-zen4-batch128": "E",
    "bench-zen4-full": "E",
    "bench-zen4-full-bfloat16": "E",
    "bench-zen4-settings": "E",
    "bench-zen4-subnets": "E",
    "bench-zen4-subnets-bfloat16": "E",
    "bench-zen4-width8": "E",
    "bench-zen4-width8-bfloat16": "E",
    "bench-avx512": "B",
    "bench-avx512-subnets": "B",
    "bench-settings": "B",
}


def bench():
    """One row a committed measurement."""
    return _measured("bench-zen4", "bench-zen4-batch128", "bench-zen4-bfloat16")


def subnets():
    """Sub-networks at once, in another run than `bench` and in more rounds."""
    return _measured("bench-zen4-subnets", "bench-zen4-subnets-bfloat16")


def limit():
    """How near to the time of its convolutions the full network is trained."""
    return _measured("bench-zen4-full", "bench-zen4-full-bfloat16")


def xeon():
    """The same, on another machine, before wide convolutions kept their own kernels and short steps shared a call."""
    return _measured("bench-amx", "bench-amx-full", "bench-amx-bfloat16")


def epyc():
    """The same, on one more machine, before sub-networks had processes of their own."""
    return _measured("bench", "bench-bfloat16")


def older_machine():
    """The same, on a machine where TensorFlow leaves oneDNN off."""
    return _measured("bench-avx512", "bench-avx512-subnets")


def narrow():
    """The same, of sub-networks twice as wide."""
    machines = "bench-zen4", "bench-amx", "bench"
    names = (f"{machine}-width8{dtype}" for machine in machines for dtype in ("", "-bfloat16"))
    return _measured(*(name for name in names if name in MACHINES))


def profile():
    """One row a kind of operation: what it takes of a training step."""
    found = json.loads((FIGURES / "profiling.json").read_text(encoding="utf-8"))
    names = {"fit": "full network", "at_once": "sub-networks at once"}
    results, kinds = found["results"], found["results"][0]["operations, ms"]
    rows = [("ms a step", *(f"{names[each['work']]}, {each['dtype']}" for each in results))]
    rows += [("the step", *(f"{each['step, ms']:.1f}" for each in results))]
    rows += [(kind, *(f"{each['operations, ms'][kind]:.1f}" for each in results)) for kind in kinds]
    rows += [("operations, number", *(f"{sum(each['operations'].values()):,}" for each in results))]
    return f"```bash\n{found['command']}\n```\n\n{markdown_table(rows)}"


def speednet():
    """The same, of speednet."""
    return _measured("bench-speednet")


def settings():
    """The same, of what keras-dd does not do."""
    return _measured("bench-zen4-settings", "bench-settings")


def _measured(*names):
    """One row a measurement of these files, below their commands."""
    files = {name: json.loads((FIGURES / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    lines = [
        "\n".join(["```bash", *dict.fromkeys(measured["command"] for measured in files.values()), "```\n"]),
        "| measured in turn, images/s | machine | first | second | ratio (median, least to most) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, measured in files.items():
        for result in measured["results"]:
            task = measured["task"]
            what = result["what"] + (", bfloat16" if task["dtype"] == "bfloat16" else "")
            what += f", batches of {task['batch_size']}" if task["batch_size"] != 64 else ""
            rates = [f"{statistics.median(result[way]):,.0f}" for way in ("first", "second")]
            ratio = f"{result['median_ratio']:.2f} ({min(result['ratio']):.2f} to {max(result['ratio']):.2f})"
            lines.append("| " + " | ".join([what, MACHINES[name], *rates, ratio]) + " |")
    return "\n".join(lines)


def fastresnet():
    """One row a block and depth: what it saves against the basic block, as published and as measured."""
    measured = json.loads((FIGURES / "fastresnet.json").read_text(encoding="utf-8"))
    saved = {(row["block"], row["depth"], row["norm"]): row["saved"] for row in measured["training"]}
    published = {(row["block"], row["depth"]): row["published"] for row in measured["training"]}
    held = {(row["block"], row["depth"], row["norm"]): row["MiB"] for row in measured["memory"]}
    faster = {(row["block"], row["depth"]): row["speed-up"] for row in measured["inference"]}
    lines = [
        f"```bash\n{measured['command']}\n```\n",
        "| against basic | time saved: published | Keras' norm | fused | memory saved, fused | inference, folded |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for block, depth in sorted(published):
        cells = [published[block, depth], *(saved[block, depth, norm] for norm in ("stock", "fused"))]
        cells.append(1 - held[block, depth, "fused"] / held["basic", depth, "fused"])
        cells = ["–" if block == "basic" or cell is None else f"{100 * cell:.1f} %" for cell in cells]
        lines.append("| " + " | ".join([f"{block}, depth {depth}", *cells, f"{faster[block, depth]:.2f}x"]) + " |")
    return "\n".join(lines)


def deep():
    """One row a block, with and without recomputation: what a very deep network takes to build and to train."""
    measured = json.loads((FIGURES / "deep.json").read_text(encoding="utf-8"))
    depth = measured["results"][0]["depth"]
    lines = [
        f"```bash\n{measured['command']}\n```\n",
        f"| depth {depth}, width 16, batch 128 | build, s | first step, s | step, s | peak of the process, MiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in measured["results"]:
        name = f"{row['block']}{', recomputed' if row['recomputed'] else ''}"
        seconds = (row["build, s"], row["first step with tracing, s"], statistics.median(row["steps, s"]))
        cells = [name, *(f"{each:.1f}" for each in seconds), f"{row['peak of the process, MiB']:,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def models():
    """One row a model of the zoo."""
    return showing.markdown([zoo.card(name) for name in zoo.models()])


def filled(text, tables):
    """`text` with its tables as the results have them now."""
    for table in tables:
        begin, end = f"<!-- {table.__name__} -->\n", f"<!-- /{table.__name__} -->"
        before, rest = text.split(begin)
        _, behind = rest.split(end)
        text = f"{before}{begin}{table()}\n{end}{behind}"
    return text


# {page: the functions that write its tables}
PAGES = {
    README: (runs, comparisons, reproductions, commands, bench, fastresnet, deep, models),
    PERFORMANCE: (limit, profile, speednet, subnets, xeon, epyc, older_machine, narrow, settings),
}

if __name__ == "__main__":
    for page, tables in PAGES.items():
        page.write_text(filled(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
