"""The published speed record, and speednet here: `python figures/airbench.py --published FILE --data-dir DIR`.

FILE is airbench94_muon.py of github.com/KellerJordan/cifar10-airbench, which trains in PyTorch for eight epochs.  It is
run as it is but for `CHANGES`: it wants a GPU.  Speednet is trained by the same recipe, conventionally and by
decomposition.  Seconds are those of training, on this machine; test images are evaluated between.  Writes airbench.json
beside this file, and does not make again what it has; `python figures/ideas.py` draws it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

OUTPUT = Path(__file__).with_suffix(".json")
RECIPE = "--dataset cifar10 --model speednet --width 64 --recipe speed-muon --dtype bfloat16 --views 6"
# {arm: options of keras-dd fit}.
OURS = {
    "conventional": f"{RECIPE} --method conventional",
    "decomposed": f"{RECIPE} --epochs 8",
}
NAMES = {
    "published": "airbench94_muon.py, all in bfloat16",
    "published-mixed": "airbench94_muon.py, weights in float32",
    "conventional": "keras-dd, conventionally",
    "decomposed": "keras-dd, by decomposition",
}
EPOCHS = dict.fromkeys(NAMES, "8") | {"decomposed": "2 + 8"}
# Before the published script: what it has of a GPU and of torchvision, whose files `written` writes.
PRELUDE = """
import time, torch
torch.manual_seed(SEED)

class Clock:
    def record(self): self.at = time.perf_counter()
    def elapsed_time(self, other): return 1e3 * (other.at - self.at)

class T:
    @staticmethod
    def Normalize(mean, std):
        shaped = lambda values, images: values.to(images.dtype).view(-1, 1, 1)
        return lambda images: (images - shaped(mean, images)) / shaped(std, images)
"""
# (what it says, what it says here, why).
CHANGES = (
    ('torch.device("cuda")', 'torch.device("cpu")', "the device"),
    ("CifarNet().cuda()", "CifarNet()", "the device"),
    ("torch.cuda.Event(enable_timing=True)", "Clock()", "the device's clock"),
    ("torch.cuda.synchronize()", "pass", "the device's clock"),
    ("import torchvision\nimport torchvision.transforms as T\n", "", "the images are there, and normalised as it does"),
    ("@torch.compile\n", "", "slower: the first steps take 6.0 to 7.8 s, and 5.4 to 6.1 without (E)"),
    ('    model.compile(mode="max-autotune")\n', "", "the same"),
    ('    main("warmup", model)\n', "", "nothing is compiled"),
    ("range(200)", "range(1)", "a seed at a time"),
)
FORWARD, SCORES = "    def forward(self, x, whiten_bias_grad=True):\n", "return self.head(x) / x.size(-1)"
# And one of these, for float16 is slow on a CPU.
PUBLISHED = {
    "published": ((".half()", ".bfloat16()", "the nearest type"),),
    "published-mixed": (
        (".half()", ".float()", "bfloat16 has three bits less for the weights"),
        (FORWARD, '    @torch.autocast("cpu", torch.bfloat16)\n' + FORWARD, "computes in bfloat16"),
        (SCORES, "return self.head(x).float() / x.size(-1)", "the loss in float32"),
    ),
}


def adapted(code, arm, seed):
    """The published code as it runs here."""
    for there, here, _ in CHANGES + PUBLISHED[arm]:
        if there not in code:
            sys.exit(f"the published script has no {there!r}: it must be airbench94_muon.py, of 2024 or 2025")
        code = code.replace(there, here)
    return PRELUDE.replace("SEED", str(seed)) + code


def written(folder, data_dir):
    """CIFAR-10 in the files that the published script reads."""
    import torch

    from keras_dd import data

    dataset = data.load("cifar10", data_dir)
    folder.mkdir()
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        images, labels = torch.tensor(split.images), torch.tensor(split.labels).long()
        torch.save({"images": images, "labels": labels, "classes": dataset.classes}, folder / f"{name}.pt")


def published(script, arm, seed, data_dir):
    """What the published script has told, and the version of PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder) / "cifar10", data_dir)
        here, lines = Path(folder) / script.name, []
        here.write_text(adapted(script.read_text(encoding="utf-8"), arm, seed), encoding="utf-8")
        with subprocess.Popen([sys.executable, "-u", here.name], cwd=folder, stdout=subprocess.PIPE, text=True) as run:
            for line in run.stdout:
                print(line, end="", flush=True)
                lines.append(line)
    if run.returncode:
        sys.exit(f"{script.name} ended with code {run.returncode}")
    return told(lines) | {"torch": version("torch")}


def told(lines):
    """{"curve": [[seconds, accuracy], ...], "views_accuracy", "views_seconds"} of the table that the script prints."""
    found = {"curve": []}
    for _, epoch, _, accuracy, by_views, seconds in (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.count("|") == 7
    ):
        if epoch.isdigit():
            found["curve"].append([float(seconds), float(accuracy)])
        elif epoch == "eval":
            found |= {"views_accuracy": float(by_views), "views_seconds": float(seconds) - found["curve"][-1][0]}
    return found


def ours(arm, seed, data_dir):
    """{"curve": [[seconds, accuracy], ...], "views_accuracy": fraction} of a run of keras-dd."""
    from keras_dd import clocks, report

    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [Path(sys.executable).with_name("keras-dd"), "fit", *OURS[arm].split()]
        subprocess.run([*command, "--data-dir", data_dir, "--seed", str(seed), "--run-dir", run_dir], check=True)
        results, history = report.read(run_dir)
    curve = clocks.curve(results, history, "one-device")
    return {"curve": [list(point) for point in curve], "views_accuracy": results["views_accuracy"]}


def draw(path):
    """Accuracy against seconds of training, and by views at the end, of airbench.json."""
    from matplotlib.figure import Figure

    from keras_dd.curves import COLOURS

    runs = json.loads(OUTPUT.read_text(encoding="utf-8"))["runs"]
    figure = Figure(figsize=(10, 5), dpi=160, layout="constrained")
    axes = figure.subplots()
    for (arm, label), colour in zip(NAMES.items(), COLOURS[1:], strict=False):
        for run in (run for run in runs if run["arm"] == arm):
            axes.plot(*zip(*run["curve"], strict=True), ".-", color=colour, label=label, linewidth=1.5)
            axes.plot(run["curve"][-1][0], run["views_accuracy"], "D", color=colour, markerfacecolor="white", zorder=3)
            label = None
    axes.axhline(0.94, color="#777777", linewidth=1, linestyle=":")
    axes.plot([], [], "D", color="#777777", markerfacecolor="white", label="by six views")
    axes.set(xlabel="seconds of training", ylabel="test accuracy", xlim=(0, None), ylim=(0.5, 0.97))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_title("speednet of width 64 on CIFAR-10; dotted: the mark of 94 %", loc="left")
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, metavar="FILE", required=True, help="airbench94_muon.py")
    parser.add_argument("--data-dir", help="TensorFlow Datasets' folder", required=True)
    parser.add_argument("--seeds", type=int, default=1, help="[default: %(default)s]")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="[default: airbench.json beside this file]")
    asked = parser.parse_args()
    from keras_dd import devices, rundir
    from keras_dd.files import replacing

    about = {
        "command": " ".join(["python", "figures/airbench.py", *sys.argv[1:]]),
        "published_sha256": hashlib.sha256(asked.published.read_bytes()).hexdigest(),
        "changes": CHANGES,
        "changes_by_arm": PUBLISHED,
        "options": OURS,
    }
    runs = json.loads(asked.output.read_text(encoding="utf-8"))["runs"] if asked.output.exists() else []
    for seed in range(asked.seeds):
        for arm in NAMES:
            where = {"arm": arm, "seed": seed, "processor": devices.processor()}
            if any(where.items() <= run.items() for run in runs):
                continue
            environment = rundir.environment()
            rest = arm, seed, asked.data_dir
            found = ours(*rest) if arm in OURS else published(asked.published, *rest)
            runs.append(where | found | {"environment": environment})
            with replacing(asked.output) as partial:
                partial.write_text(json.dumps(about | {"runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
