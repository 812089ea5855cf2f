"""Write the README's tables from the committed results: `python figures/tables.py`.

Each table stands between `<!-- name -->` and `<!-- /name -->`; the numbers are those of figures/*/report.json and of
figures/bench.json.
"""

import json
import statistics
from pathlib import Path

FIGURES = Path(__file__).parent
README = FIGURES.parent / "README.md"


def runs():
    """One row a committed run: what the sub-networks, the composed and the fine-tuned network reach, and the time."""
    lines = [
        "| run | sub-networks, % | composed, % | BN re-estimated, % | fine-tuned, % | sub-networks, s | fine-tune, s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(FIGURES.glob("*/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        name = f"[{path.parent.name}](figures/{path.parent.name}/report.md)"
        if "baseline" in report["seconds"]:  # trained conventionally: no sub-networks
            cells = ["–"] * 3 + [f"{100 * report['final_accuracy']:.1f}", "–", f"{report['seconds']['baseline']:,.0f}"]
            lines.append("| " + " | ".join([name, *cells]) + " |")
            continue
        subnets = [100 * accuracy for accuracy in report["subnet_accuracy"]]
        reached = [100 * report[f"{stage}_accuracy"] for stage in ("composed", "recalibrated", "final")]
        seconds = [report["seconds"][stage] for stage in ("subnets", "finetune")]
        cells = [f"{min(subnets):.1f} to {max(subnets):.1f}", *(f"{r:.1f}" for r in reached)]
        lines.append("| " + " | ".join([name, *cells, *(f"{s:,.0f}" for s in seconds)]) + " |")
    return "\n".join(lines)


def commands():
    """The exact commands of the committed runs."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(FIGURES.glob("*/report.json"))]
    return "\n".join(["```bash", *(report["command"] for report in reports), "```"])


def bench():
    """One row a committed measurement."""
    measured = json.loads((FIGURES / "bench.json").read_text(encoding="utf-8"))
    lines = [
        f"```bash\n{measured['command']}\n```\n",
        "| measured in turn, images/s | first | second | ratio (median, least to most) |",
        "| --- | --- | --- | --- |",
    ]
    for result in measured["results"]:
        rates = [f"{statistics.median(result[way]):,.0f}" for way in ("first", "second")]
        ratio = f"{result['median_ratio']:.2f} ({min(result['ratio']):.2f} to {max(result['ratio']):.2f})"
        lines.append("| " + " | ".join([result["what"], *rates, ratio]) + " |")
    return "\n".join(lines)


def filled(text):
    """`text` with its tables as the results have them now."""
    for table in (runs, commands, bench):
        begin, end = f"<!-- {table.__name__} -->\n", f"<!-- /{table.__name__} -->"
        before, rest = text.split(begin)
        _, behind = rest.split(end)
        text = f"{before}{begin}{table()}\n{end}{behind}"
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
