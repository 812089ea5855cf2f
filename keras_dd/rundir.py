"""The run directory: everything that a run leaves behind, and what it ran on."""

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

from keras_dd.config import UserError

PACKAGES = ("keras-dd", "keras", "tensorflow", "tensorflow-datasets", "numpy")


def create(settings, command):
    """Make the run directory and write config.json into it: settings, versions, seed, git state.

    Args:
        settings: a resolved `Settings`; without `run_dir` the directory is a new one in runs/.
        command: the command line or call that asked for the run.

    Returns:
        The `Path`.

    Raises:
        UserError: a directory that cannot be written, or that already holds a run.
    """
    run_dir = Path(settings.run_dir) if settings.run_dir else _new(settings)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if any(run_dir.iterdir()):
            raise UserError(f"run directory {str(run_dir)!r} is not empty: choose another one, or remove it")
        config = {"command": command, "settings": dataclasses.asdict(settings), "environment": environment()}
        (run_dir / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"run directory {str(run_dir)!r} cannot be written ({error.strerror}): choose another with --run-dir"
        ) from error
    return run_dir


def write_card(run_dir, dataset, settings):
    """Write model.json beside model.keras: what whoever uses the model has to know of its images and its scores."""
    card = {
        "model": "model.keras",
        "takes": "images as uint8 or float, 0 to 255, (N, height, width, channels)",
        "image_shape": list(dataset.image_shape),
        "gives": "one score a class, in the order of classes",
        "classes": list(dataset.classes),
        "dataset": dataset.name,
        "data": list(dataset.notes),
        "seed": settings.seed,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
    (run_dir / "model.json").write_text(text, encoding="utf-8")


def environment():
    """Versions, machine and git state, as they stand in config.json and report.json."""
    versions = {name.replace("-", "_"): importlib.metadata.version(name) for name in PACKAGES}
    return versions | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "git": _git_state(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _new(settings):
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    dataset, model = (Path(name).stem or "data" for name in (settings.dataset, settings.model))  # either may be a path
    return Path("runs") / f"{dataset}-{model}-k{settings.parts}-{now}"


def _git_state():
    """The commit of the checkout that this package runs from, "-dirty" if it has changes; None where installed."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    if not (Path(__file__).parents[1] / ".git").exists():
        return None
    try:
        done = subprocess.run(describe, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
