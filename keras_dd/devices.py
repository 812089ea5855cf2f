"""The devices a run works on, and the strategy over them."""

import functools
import os
from contextlib import contextmanager
from pathlib import Path

import keras
import tensorflow as tf

from keras_dd.config import UserError

# What a processor's flags are called in Linux where it multiplies numbers of bfloat16: of AVX-512, and of AMX.
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
# Those that times of training hang on: TensorFlow turns oneDNN on by itself where there is one of the last three.
SPEED_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
CPUINFO = "/proc/cpuinfo"
BFLOAT16_CAPABILITY = (8, 0)  # of NVIDIA's GPUs, from Ampere on


def pick(spec="auto"):
    """Names of the devices to use, such as ("GPU:0", "GPU:1").

    Args:
        spec: "auto" (all GPUs, or else the CPU), a number N (the first N GPUs, or the CPU as N logical devices), or
            names with commas between, such as "GPU:0,GPU:2".

    Raises:
        UserError: devices that are not there, or logical CPU devices asked for after TensorFlow has started.
    """
    gpus = [_short(device) for device in tf.config.list_physical_devices("GPU")]
    if spec == "auto":
        return tuple(gpus) or ("CPU:0",)
    if spec.isdecimal() and int(spec) > 0:
        if gpus and len(gpus) < int(spec):
            raise UserError(f"devices {spec}: there are {len(gpus)} GPUs; ask for as many, or hide them to use the CPU")
        return tuple(gpus[: int(spec)]) or _logical_cpus(int(spec))
    names = tuple(dict.fromkeys(name.strip().upper() for name in spec.split(",")))
    known = {_short(device) for device in tf.config.list_logical_devices()}
    if not known.issuperset(names):
        raise UserError(f"devices {spec!r}: there are {', '.join(sorted(known))}; name some of them, a number, or auto")
    return names


def only_cpu():
    """("CPU:0",), with the GPUs of this machine left to other processes: TensorFlow would take all of their memory.

    Raises:
        UserError: GPUs that this process has taken already.
    """
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        if tf.config.list_logical_devices("GPU"):
            raise UserError(
                "the GPUs are this process's already, and tasks could not have them: ask for an engine in a new process"
            ) from None
    return ("CPU:0",)


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache  # TensorFlow wants one strategy a process: those of two would wait for each other's devices
def strategy(devices):
    """What `fit` runs under: a `MirroredStrategy` for several devices, TensorFlow's default for its first one."""
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(devices)
    default = pick()[0]
    return tf.distribute.get_strategy() if devices == (default,) else tf.distribute.OneDeviceStrategy(devices[0])


def fastest_dtype(devices):
    """What `--dtype auto` is on these devices: "bfloat16" where all of them compute with it in hardware, or "float32".

    Elsewhere bfloat16 is computed by detours, and slower than float32.
    """
    return "bfloat16" if all(map(_has_bfloat16, devices)) else "float32"


def _has_bfloat16(device):
    if device.startswith("CPU"):
        return bool(BFLOAT16_FLAGS & cpu_flags())
    gpus = {_short(gpu): gpu for gpu in tf.config.list_physical_devices("GPU")}
    details = tf.config.experimental.get_device_details(gpus[device])
    return details.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY


def cpu_flags(path=CPUINFO):
    """The instruction sets that Linux says the processor has; none where it does not say."""
    return set(_cpuinfo(path).get("flags", "").split())


def processor(path=CPUINFO):
    """What the processor is called, and what it has of `SPEED_FLAGS`: "AMD EPYC, family 25 model 17 (avx512f)".

    None where it is not known.
    """
    found, about = cpu_flags(path), _cpuinfo(path)
    name, sets = about.get("model name"), " ".join(flag for flag in SPEED_FLAGS if flag in found)
    if name and "cpu family" in about and "model" in about:  # of a virtual machine the name alone does not tell
        name += f", family {about['cpu family']} model {about['model']}"
    return f"{name} ({sets})" if name and sets else name


def _cpuinfo(path):
    """{key: value} of the first processor of Linux' list; empty where there is none."""
    try:
        first = Path(path).read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


@contextmanager
def computing_in(dtype):
    """Layers that are built in here compute in `dtype`, "float32" or "bfloat16"; their weights are of float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy({"bfloat16": "mixed_bfloat16"}.get(dtype, dtype))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _short(device):
    return device.name.removeprefix("/physical_device:").removeprefix("/device:")


def _logical_cpus(count):
    """The first `count` of the logical devices that the CPU is, or now becomes; they share its cores."""
    [cpu] = tf.config.list_physical_devices("CPU")
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) < count:
        try:
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError:
            raise UserError(
                f"devices {count}: the CPU can only be split before TensorFlow starts, so ask for it in a new process"
            ) from None
    return tuple(f"CPU:{i}" for i in range(count))
