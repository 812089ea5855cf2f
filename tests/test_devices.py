"""devices.py: which devices a run takes.  Runs four_devices.py, on several devices, in a process of its own."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import support
import tensorflow as tf

from keras_dd import devices
from keras_dd.config import UserError

FOUR = Path(__file__).with_name("four_devices.py")


def test_one_cpu_is_the_default():
    assert devices.pick() == devices.pick("1") == devices.pick("cpu:0") == ("CPU:0",)
    assert devices.strategy(("CPU:0",)).num_replicas_in_sync == 1


@pytest.mark.parametrize("spec", ["0", "-1", "GPU:7", "CPU:0,TPU:1", "", "two"])
def test_devices_that_are_not_there(spec):
    with pytest.raises(UserError, match=f"devices '{spec}': there are .*CPU:0.*name some of them, a number, or auto"):
        devices.pick(spec)


def test_the_cpu_cannot_be_split_once_it_is_used():
    tf.zeros(1)
    with pytest.raises(UserError, match="devices 3: .* in a new process"):
        devices.pick("3")


def test_gpus_come_first(monkeypatch):
    """As on a machine with two GPUs."""
    names = {"GPU": ["GPU:0", "GPU:1"], "CPU": ["CPU:0"]}
    listed = {kind: [SimpleNamespace(name=f"/physical_device:{name}") for name in names[kind]] for kind in names}
    monkeypatch.setattr(tf.config, "list_physical_devices", listed.get)
    assert devices.pick() == devices.pick("2") == ("GPU:0", "GPU:1")
    assert devices.pick("1") == ("GPU:0",)
    with pytest.raises(UserError, match="devices 3: there are 2 GPUs"):
        devices.pick("3")


def test_the_processor_says_what_it_can(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    flags = "flags\t\t: fpu avx512f amx_bf16\nbugs\t\t: spectre_v1\n"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: A 9: fast\n{flags}\nprocessor\t: 1\n")
    assert devices.cpu_flags(cpuinfo) == {"fpu", "avx512f", "amx_bf16"}
    assert devices.processor(cpuinfo) == "A 9: fast (avx512f amx_bf16)"
    elsewhere = tmp_path / "of another system"
    assert devices.cpu_flags(elsewhere) == set() and devices.processor(elsewhere) is None
    cpuinfo.write_text(f"model name\t: C\ncpu family\t: 25\nmodel\t\t: 17\n{flags}")
    assert devices.processor(cpuinfo) == "C, family 25 model 17 (avx512f amx_bf16)"
    cpuinfo.write_text("model name\t: B\n")
    assert devices.processor(cpuinfo) == "B"


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [(["avx512f"], "float32"), (["avx512f", "avx512_bf16"], "bfloat16"), (["amx_bf16"], "bfloat16"), ([], "float32")],
)
def test_bfloat16_is_for_processors_that_have_it(flags, dtype, monkeypatch):
    monkeypatch.setattr(devices, "cpu_flags", lambda: set(flags))
    assert devices.fastest_dtype(("CPU:0",)) == devices.fastest_dtype(("CPU:0", "CPU:1")) == dtype


def test_bfloat16_is_for_gpus_that_have_it(monkeypatch):
    """As on a machine with GPUs of three generations, of which TensorFlow does not know the last."""
    details = {"GPU:0": {"compute_capability": (8, 6)}, "GPU:1": {"compute_capability": (7, 5)}, "GPU:2": {}}
    gpus = [SimpleNamespace(name=f"/physical_device:{name}") for name in details]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: details[gpu.name.removeprefix("/physical_device:")]
    )
    assert devices.fastest_dtype(("GPU:0",)) == "bfloat16"
    assert devices.fastest_dtype(("GPU:0", "GPU:1")) == devices.fastest_dtype(("GPU:2",)) == "float32"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """{name of a test in four_devices.py: PASSED, FAILED or ERROR}, and all that pytest said."""
    out = tmp_path_factory.mktemp("four") / "out"
    command = (
        sys.executable,
        "-m",
        "pytest",
        FOUR,
        "-v",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        FOUR.parents[1],
    )
    support.start(*command, "-c", FOUR.parents[1] / "setup.cfg", out=out).wait()
    said = "".join(support.read(out))
    return dict(re.findall(r"::(\S+) (PASSED|FAILED|ERROR)", said)), said


TESTS = re.findall(r"^def (test_\w+)", FOUR.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", TESTS)
def test_on_four_devices(name, outcome):
    results, said = outcome
    ours = [result for test, result in results.items() if test.partition("[")[0] == name]
    assert ours and set(ours) == {"PASSED"}, said
