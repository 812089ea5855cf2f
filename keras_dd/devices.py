"""The devices a run works on, and the strategy over them."""

import functools

import tensorflow as tf

from keras_dd.config import UserError


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


@functools.cache  # TensorFlow wants one strategy a process: those of two would wait for each other's devices
def strategy(devices):
    """What `fit` runs under: a `MirroredStrategy` for several devices, TensorFlow's default for its first one."""
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy(devices)
    default = pick()[0]
    return tf.distribute.get_strategy() if devices == (default,) else tf.distribute.OneDeviceStrategy(devices[0])


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
