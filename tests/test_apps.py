"""apps: the command line, with a stand-in for the pipeline; tests/test_fit_command.py has it end to end."""

import dataclasses
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest
import support
import tensorflow as tf

import keras_dd
from keras_dd.apps.fit import fit
from keras_dd.apps.main import main
from keras_dd.config import Settings
from keras_dd.signals import Terminated

KERAS_DD = support.KERAS_DD


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line in this process with a pipeline that does `job`; (exit code, stdout, stderr)."""

    def run(*arguments, job=lambda settings, command: SimpleNamespace(report={})):
        stand_ins = {"pipeline": {"run": job}, "plan": {"plan": repr}, "report": {"table": repr}}
        for name, functions in stand_ins.items():
            monkeypatch.setattr(keras_dd, name, SimpleNamespace(**functions), raising=False)
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return end.value.code or 0, *capsys.readouterr()

    return run


def settings_of(run, *arguments):
    """The Settings that a command line makes."""
    seen = []

    def job(settings, command):
        seen.append(settings)
        return SimpleNamespace(report={})

    code, _, stderr = run("fit", *arguments, job=job)
    assert code == 0, stderr
    return seen[0]


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"]])
def test_help_is_instant(arguments):
    def seconds():
        """Of computing: the clock on the wall would measure the tests of the other process too."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([KERAS_DD, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.3


def test_tensorflow_is_not_imported_before_it_is_needed():
    look = (
        "import sys, keras_dd, keras_dd.apps.main; print({'tensorflow', 'keras', 'numpy', 'rich'} & set(sys.modules))"
    )
    seen = subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True)
    assert seen.stdout.strip() == "set()"


def test_without_arguments_the_help_is_shown(run):
    code, stdout, _ = run()
    assert code == 0
    assert "Start here" in stdout


def test_version(run):
    assert run("--version")[:2] == (0, f"keras-dd {keras_dd.__version__}\n")


def test_every_setting_is_an_option_with_its_default_in_the_help(run):
    code, stdout, _ = run("fit", "--help")
    assert code == 0
    assert max(map(len, stdout.splitlines())) <= 80
    options = {option.name: option for option in fit.params if option.name not in ("dry_run", "resume")}
    assert set(options) == {field.name for field in dataclasses.fields(Settings)}
    for name, option in options.items():
        assert option.default == getattr(Settings(), name)
        assert option.opts[0] in stdout
        assert option.is_flag or "[default: " in option.help


def test_options_become_settings(run):
    assert settings_of(run, "--flip").flip is True
    assert settings_of(run, "--no-flip").flip is False
    assert settings_of(run, "--off-diagonal", "noise:0.3", "--seed", "7").seed == 7


def test_a_grid_says_how_many_parts(run):
    assert settings_of(run, "--grid", "2x4").parts == 8
    assert settings_of(run, "--grid", "2x4", "--parts", "4").parts == 4  # refused later, by `boxes`
    assert settings_of(run, "--grid", "2x4").grid == (2, 4)


def test_the_environment_sets_options(run, monkeypatch):
    monkeypatch.setenv("KERAS_DD_FIT_DATA_DIR", "/data")
    assert settings_of(run).data_dir == "/data"


def test_nothing_asked_for_is_the_default_settings(run):
    assert settings_of(run) == Settings()
    code, stdout, stderr = run("fit", "--dry-run")
    assert (code, stdout, stderr) == (0, f"{Settings()!r}\n", "")


def test_the_pipeline_is_told_the_command(run):
    commands = []

    def job(settings, command):
        commands.append(command)
        return SimpleNamespace(report={"final": 1})

    code, stdout, _ = run("fit", "--run-dir", "my run", job=job)
    assert (code, commands) == (0, ["keras-dd fit --run-dir 'my run'"])
    assert "{'final': 1}" in stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["fit", "--epochs", "-1"], "epochs is -1"),
        (["fit", "--subnet-epochs", "-1"], "subnet_epochs is -1"),
        (["fit", "--parts", "0"], "parts is 0"),
        (["fit", "--overlap", "-2"], "overlap is -2"),
        (["fit", "--batch-size", "0"], "batch_size is 0"),
        (["fit", "--validation-split", "1"], "validation_split is 1.0"),
        (["fit", "--seed", "-1"], "seed is -1"),
        (["fit", "--off-diagonal", "ones"], "off_diagonal is 'ones'"),
        (["fit", "--parts", "four"], "'four'"),
        (["fit", "--grid", "2by4"], "'2by4' is not ROWSxCOLUMNS"),
        (["fit", "--recipe", "papers"], "did you mean 'paper'?"),
        (["fit", "--dtype", "float16"], "'float16'"),
        (["fit", "--epoch-count", "3"], "--epoch-count"),
        (["fit", "--run-dir", __file__], "is a file"),
        (["fit", "extra"], "extra"),
        (["fitt"], "fitt"),
        (["--fast"], "--fast"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(run, arguments, names):
    code, stdout, stderr = run(*arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("keras-dd: ")
    assert stderr.count("\n") == 1
    assert names in stderr


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (keras_dd.UserError("no such data set"), 2, "no such data set"),
        (KeyboardInterrupt("stopped; see runs/1"), 130, "stopped; see runs/1"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "interrupted"),
        (OSError(28, "No space left on device", "runs/1/history.csv"), 1, "No space left on device"),
        (MemoryError("Unable to allocate 3.00 GiB"), 1, "Unable to allocate 3.00 GiB"),
        (MemoryError(), 1, "MemoryError"),
        (
            tf.errors.UnknownError(None, None, "{{node a}} OSError: a.jpg is truncated\nTraceback"),
            1,
            "a.jpg is truncated",
        ),
    ],
)
def test_how_a_run_ends_badly(run, error, code, line):
    def job(settings, command):
        raise error

    ended, _, stderr = run("fit", job=job)
    assert ended == code
    assert line in stderr.strip()
    assert stderr.strip().count("\n") == 0


def test_a_bug_is_not_hidden(run):
    with pytest.raises(ZeroDivisionError):
        run("fit", job=lambda settings, command: 1 / 0)


def test_completion():
    typed = {"_KERAS_DD_COMPLETE": "bash_complete", "COMP_WORDS": "keras-dd fit --dataset cifar", "COMP_CWORD": "3"}
    shown = subprocess.run([KERAS_DD], env=os.environ | typed, check=True, capture_output=True, text=True)
    assert shown.stdout.split() == ["plain,cifar10", "plain,cifar100"]


def test_public_names():
    assert dir(keras_dd) == sorted([*keras_dd.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = keras_dd.nonsense
