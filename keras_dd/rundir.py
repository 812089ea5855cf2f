"""The run directory: everything that a run leaves behind, and what it ran on."""

import dataclasses
import datetime
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from contextlib import contextmanager
from pathlib import Path

from keras_dd import devices
from keras_dd.config import Settings, UserError, unknown
from keras_dd.files import replacing

CONFIG = "config.json"
PACKAGES = ("keras-dd", "keras", "tensorflow", "tensorflow-datasets", "numpy")


def create(settings, command, made_of=None):
    """Make the run directory and write config.json into it: settings, versions, seed, git state.

    Args:
        settings: a resolved `Settings`; without `run_dir` the directory is a new one in runs/.
        command: the command line or call that asked for the run.
        made_of: what else must be the same when the run goes on, as plain JSON.

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
        config["made_of"] = made_of
        with open(run_dir / CONFIG, "x", encoding="utf-8") as file:  # "x": of two runs at once, one gets the directory
            file.write(json.dumps(config, indent=2) + "\n")
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
    with replacing(run_dir / "model.json") as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def locked(run_dir):
    """Keep other processes out of a run.  The lock ends with the process, however that ends.

    Raises:
        UserError: a directory without a run, or with one that another process is at.
    """
    try:
        handle = os.open(Path(run_dir) / CONFIG, os.O_RDWR)  # NFS locks only what may be written
    except OSError as error:
        raise UserError(
            f"{str(run_dir)!r} is not the directory of a run ({CONFIG}: {error.strerror}): name one that "
            "keras-dd fit has made"
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"the run in {str(run_dir)!r} is still going on, in another process: wait for it, or end that process"
            ) from None
        yield
    finally:
        os.close(handle)


def read(run_dir):
    """What config.json says of a run: (Settings, command, made_of).

    Raises:
        UserError: a config.json that is not there, is damaged, or none of ours.
    """
    path = Path(run_dir) / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found, command = config["settings"], config["command"]
        made_of = {name: config["made_of"][name] for name in ("own", "model", "dataset")}
        found["grid"] = found["grid"] and tuple(found["grid"])
        found["run_dir"] = str(run_dir)
        return Settings(**{"workers": 1} | found), command, made_of
    except OSError as error:
        raise UserError(
            f"{str(run_dir)!r} is not the directory of a run ({CONFIG}: {error.strerror}): name one that "
            "keras-dd fit has made"
        ) from error
    except (UserError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a run of keras-dd ({error}): start another run") from error


def reopen(run_dir, asked):
    """What config.json says of a run that is to go on: (Settings, command, made_of).

    Args:
        run_dir: the directory, `locked`.
        asked: {setting: value} that the user gave again, which must be those of the run, but for the address.

    Raises:
        UserError: what `read` raises; a finished run, or other settings.
    """
    settings, command, made_of = read(run_dir)
    path = Path(run_dir) / CONFIG
    for name, value in asked.items():
        if not hasattr(settings, name):
            raise unknown("setting", name, dataclasses.asdict(settings))
        value = getattr(Settings(**{name: value}), name)
        if name in ("address", "workers"):  # a cluster that was started again has another, and trains the same
            settings = dataclasses.replace(settings, **{name: value})
        elif value != getattr(settings, name):
            raise UserError(
                f"{name} is {getattr(settings, name)!r} in {path}, not {value!r}: a run goes on as it began, so leave "
                f"{name} out, or start another run"
            )
    if finished(run_dir):
        raise UserError(f"the run in {str(run_dir)!r} is finished, its network is in model.keras: start another run")
    return settings, command, made_of


def finished(run_dir):
    """Whether a run has ended by itself, and left its network and its report."""
    try:
        return json.loads((Path(run_dir) / "report.json").read_text(encoding="utf-8"))["interrupted"] is None
    except (OSError, ValueError, TypeError, KeyError):
        return False


def seal(run_dir):
    """The sha256 of config.json, which the snapshots of a run carry."""
    return hashlib.sha256((Path(run_dir) / CONFIG).read_bytes()).hexdigest()


def environment():
    """Versions, machine and git state, as they stand in config.json and report.json."""
    versions = {name.replace("-", "_"): importlib.metadata.version(name) for name in PACKAGES}
    return versions | {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": devices.processor(),
        "cores": os.cpu_count(),
        "git": _git_state(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _new(settings):
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    dataset, model = (Path(name).stem or "data" for name in (settings.dataset, settings.model))  # either may be a path
    how = f"k{settings.parts}" if settings.method == "decomposition" else settings.method
    return Path("runs") / f"{dataset}-{model}-{how}-{now}"


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
