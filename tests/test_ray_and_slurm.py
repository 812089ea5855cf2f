"""engines/ray.py, engines/slurm.py: what is asked of a cluster, a real Ray of two nodes, and real jobs of submitit."""

import contextlib
import importlib
import os
import re
import signal
import socket

import pytest
import support
from tensorflow.python.framework import config

import keras_dd
from keras_dd.config import Settings, UserError


@pytest.fixture(scope="module")
def few():
    return support.digits()


def test_slurm_is_not_everywhere(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="engine slurm: there is no sbatch on this machine"):
        keras_dd.fit(engine="slurm")


@pytest.mark.parametrize("address", ["here", "10.0.0.1", ":6379", "10.0.0.1:port"])
def test_an_address_is_a_host_and_a_port(address):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="is no address of a Ray cluster: it must be HOST:PORT"):
        keras_dd.fit(engine="ray", address=address)


def test_nobody_answers():
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = "127.0.0.1:{1}".format(*taken.getsockname())
        with pytest.raises(UserError, match=f"address '{address}': nothing answers there .*: start Ray with ray start"):
            keras_dd.fit(engine="ray", address=address)


@pytest.mark.parametrize(
    ("nodes", "settings", "share", "whole"),
    [
        ([(2, 0)], {}, (1, 0), (2, 0)),  # two of four at a time
        ([(8, 0)], {}, (2, 0), (8, 0)),
        ([(8, 0)], {"parts": 2}, (4, 0), (8, 0)),
        ([(4, 0)] * 3, {}, (2, 0), (4, 0)),
        ([(8, 0)], {"cpus": 3}, (3, 0), (8, 0)),
        ([(16, 4), (4, 0)], {}, (4, 1), (16, 4)),
        ([(16, 4), (8, 8)], {}, (1, 1), (8, 8)),
        ([(16, 4)], {"gpus": 0}, (4, 0), (16, 0)),
        ([(16, 4)], {"gpus": 2, "cpus": 1}, (1, 2), (16, 4)),
    ],
)
def test_what_a_task_gets(nodes, settings, share, whole):
    pytest.importorskip("ray")
    shares = importlib.import_module("keras_dd.engines.ray").shares
    nodes = [{"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {}) for cpus, gpus in nodes]
    assert shares(nodes, Settings(engine="ray", **settings)) == (share, whole)


@pytest.mark.parametrize(("nodes", "asked"), [([2, 1], {"cpus": 3}), ([2], {"gpus": 1}), ([0], {})])
def test_more_than_any_node_has(nodes, asked):
    pytest.importorskip("ray")
    shares = importlib.import_module("keras_dd.engines.ray").shares
    with pytest.raises(UserError, match=f"fits on no node of the Ray cluster .{nodes[0]} CPUs and 0 GPUs"):
        shares([{"CPU": float(cpus)} for cpus in nodes], Settings(engine="ray", **asked))


# Real engines.


@pytest.fixture(scope="module")
def wide():
    """A network of which this process does not train the parts side by side in one: they would add up otherwise."""
    return support.network(width=32)


@pytest.fixture
def deterministic():
    """The setting, which is for all of a process until it is taken back."""
    yield {"deterministic": True}
    config.disable_op_determinism()


@pytest.fixture
def two_nodes():
    """The address of a real Ray of two nodes, of as many CPUs as this process computes with."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cpus, before = len(os.sched_getaffinity(0)), signal.getsignal(signal.SIGTERM)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=cpus)
        signal.signal(signal.SIGTERM, before)  # Ray's handler would stay when the nodes are gone, and end this process
        yield cluster.address
    finally:
        cluster.shutdown()


def test_a_worker_of_ray_is_killed(wide, few, deterministic, two_nodes, tmp_path):
    """The run ends bit for bit with the weights that it ends with here."""
    settings = {"parts": 2, "overlap": 8, "subnet_epochs": 30, "epochs": 1, "snapshot_every": 0.0, **deterministic}
    here = keras_dd.fit(wide, few, **settings, run_dir=str(tmp_path / "here"))
    settings |= {"engine": "ray", "address": two_nodes, "run_dir": str(tmp_path / "there")}
    with contextlib.redirect_stdout(support.Killer()) as said:
        there = keras_dd.fit(wide, few, **settings)
    told = said.getvalue()
    assert "Nodes of the Ray cluster: 2" in told
    assert said.killed and "subnet 1: lost its worker (WorkerCrashedError), another one goes on from its last" in told
    assert re.search(r"^subnet 1: Going on in epoch \d", told, re.MULTILINE)
    assert support.gap([*here.parts, here.model], [*there.parts, there.model]) == 0
    support.assert_alike(here.history, there.history)
    assert there.report["tasks"].keys() == {"subnet 1", "subnet 2", "finetune"}
    assert there.report["tasks"]["subnet 1"]["process"] != said.killed
    assert not (there.run_dir / "snapshots").exists()


def test_a_job_of_submitit(wide, few, tmp_path, capsys):
    """By its local executor: a job is a process, as Slurm would start it."""
    settings = {"method": "conventional", "epochs": 2}
    here = keras_dd.fit(wide, few, **settings, run_dir=str(tmp_path / "here"))
    capsys.readouterr()
    there = keras_dd.fit(wide, few, **settings, run_dir=str(tmp_path / "there"), engine="slurm", address="local")
    assert support.gap([here.model], [there.model]) < 1e-5 < support.gap([wide], [there.model])
    support.assert_alike(here.history, there.history)
    assert "baseline: Epoch 2/2" in capsys.readouterr().out


def test_what_sbatch_is_asked_for(tmp_path, monkeypatch):
    """It is a stand-in that refuses all jobs, and leaves the batch files to be read."""
    for name in "sbatch", "srun":
        (tmp_path / name).write_text("#!/bin/sh\necho sbatch: error: invalid partition: tpu >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    settings = Settings(engine="slurm", address="tpu", cpus=8, gpus=1)
    for whole, asked in ((False, {"cpus-per-task=8"}), (True, {"exclusive", "mem=0"})):
        with importlib.import_module("keras_dd.engines.slurm").opened(settings) as cluster:
            cluster.begin(tmp_path, None)
            with pytest.raises(UserError, match="sbatch refuses subnet 1 .*invalid partition: tpu.*ask for what"):
                cluster.submit({"name": "subnet 1"}, whole, last=None)
        [file] = (tmp_path / "jobs").glob(".submission*")
        options = {f"#SBATCH --{each}" for each in {"partition=tpu", "gpus-per-node=1", "time=1440", *asked}}
        assert options <= set(file.read_text().splitlines())
