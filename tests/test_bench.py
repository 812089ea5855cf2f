"""bench/ and `keras-dd bench`: every way works, they take turns, and what they made is written as the README reads it.

What it measures is not tested: tests share the machine with others.
"""

import dataclasses
import json
import os
import re

import pytest
from keras import layers
from PIL import Image

from keras_dd import bench, devices
from keras_dd.apps.bench import ABOUT
from keras_dd.apps.main import main
from keras_dd.bench import local_works, machine, ray_works, summary, torch_works, turns, works
from keras_dd.bench.task import Task, answer
from keras_dd.models import MODELS
from keras_dd.models.resnet import DEPTHS

SMALL = Task(model="cnn", width=4, parts=2, batch_size=8)
MODULES = {
    "works": works,
    "torch_works": torch_works,
    "ray_works": ray_works,
    "local_works": local_works,
    "machine": machine,
}


def ended(*arguments):
    with pytest.raises(SystemExit) as end:
        main(["bench", *arguments])
    return end.value.code or 0


def test_bench_writes_what_it_measured(tmp_path, capsys):
    output = tmp_path / "bench.json"
    small = "--only full,fused --model cnn --width 4 --batch-size 8 --steps 2 --rounds 3 --output"
    assert ended(*small.split(), str(output)) == 0
    written, printed = json.loads(output.read_text()), capsys.readouterr().out
    assert "measuring full, fused: about " in printed and "making ready: stock Keras" in printed
    assert written["environment"]["cores"]
    assert [row["way"] for row in written["ways"]] == [
        "keras-dd",
        "stock Keras",
        "a bare training step",
        "its convolutions alone",
        "fused",
        "Keras' own",
    ]
    assert written["left_out"] == {"PyTorch, channels last": "cnn of width 4 is not written in PyTorch here"}
    for row in written["ways"]:
        assert row["way"] in printed and row["images"] == 8 and row["steps"] == 2 and len(row["images_per_second"]) == 3
    ours = os.environ.get("TF_ENABLE_ONEDNN_OPTS")  # which keras_dd has set on x86
    assert [row["onednn"] for row in written["ways"]] == [ours, None, ours, ours, ours, ours]
    assert [row["what"] for row in written["results"]] == [
        "training or fine-tuning cnn, width 4: keras-dd / stock Keras",
        "training or fine-tuning cnn, width 4: keras-dd / a bare training step",
        "training or fine-tuning cnn, width 4: keras-dd / its convolutions alone",
        "fused kernels of cnn, width 4: fused / Keras' own",
    ]
    for row in written["results"]:
        pairs = zip(row["first"], row["second"], row["ratio"], strict=True)
        assert [a / b for a, b, _ in pairs] == row["ratio"]
        assert sorted(row["ratio"])[1] == row["median_ratio"]
    with Image.open(output.with_suffix(".png")) as picture:
        assert picture.width == 1600 and len(picture.convert("L").getcolors()) > 3


@pytest.mark.parametrize("work", ["at_once", "one_by_one", "stock_one_by_one", "feed"])
def test_every_way_works(work):
    made = {}
    facts = answer(made, SMALL, f"works.{work}")
    assert facts["images"] == 8 * (1 if work == "feed" else 2)
    assert answer(made, SMALL, f"works.{work}", steps=1)["seconds"] > 0
    assert answer(made, SMALL, f"works.{work}") is facts  # nothing is made twice


def test_convolutions_alone_are_all_that_a_step_has():
    """Of speednet: a frozen first layer has no gradients, and the next one reads what nobody learns."""
    network = MODELS["speednet"](width=2, image_shape=(12, 12, 3))
    shapes = [tuple(work().shape) for work in works.convolutions_of(network, batch_size=2)]
    frozen, first, *others = (layer for layer in network.layers if isinstance(layer, layers.Conv2D))
    expected = [(2, 11, 11, 24), (2, 11, 11, 2), (3, 3, 24, 2)]
    assert [(2, *layer.output.shape[1:]) for layer in (frozen, first)] == expected[:2]
    for layer in others:
        expected += [(2, *layer.output.shape[1:]), tuple(layer.kernel.shape), (2, *layer.input.shape[1:])]
    assert shapes == expected and len(others) == 5


def test_sub_networks_in_workers_of_ray():
    pytest.importorskip("ray")
    with turns.processes(SMALL) as ask:
        facts = ask("ray", "ray_works.in_workers")
        assert facts["images"] == 16 and facts["workers"] == min(os.cpu_count(), 2)
        assert ask("ray", "ray_works.in_workers", 1)["seconds"] > 0


def test_sub_networks_in_workers_of_this_machine():
    with turns.processes(SMALL) as ask:
        facts = ask("workers", "local_works.in_workers")
        if devices.cores() < 2:
            assert "several cores" in facts["left_out"]
            return
        assert facts["images"] == 16 and facts["workers"] == 2
        assert ask("workers", "local_works.in_workers", 1)["seconds"] > 0


def test_all_ways_of_the_table_are_there():
    for name, (title, ways) in bench.COMPARED.items():
        assert title.format(**vars(SMALL)) and name in bench.NAMES
        for process, work in [*ways.values(), *bench.SINGLE.values()]:
            module, function = work.split(".")
            assert callable(getattr(MODULES[module], function))
            assert process == "here" or process in turns.PROCESSES
    assert {*bench.COMPARED, *bench.SINGLE} == set(bench.NAMES) > set(bench.DEFAULT)
    [minutes] = re.findall(r"take about (\d+) minutes", ABOUT)
    assert bench.expected_seconds(bench.DEFAULT, rounds=5) == pytest.approx(60 * int(minutes), abs=30)


def test_flops_are_those_of_a_training():
    """3x3 on 32x32 pixels and what follows: 2 FLOPs a MAC, three passes; as `cost` counts them."""
    _, alone = works.bare_step(SMALL)
    _, parts = works.at_once(SMALL)
    assert alone["flops_per_image"] > 3 * 2 * 32 * 32 * 3 * 4
    assert parts["flops_per_image"] < alone["flops_per_image"] / 2


def test_ways_take_turns():
    """B is twice as slow, C cannot work.  Trials first; then A B, B A, A B."""
    calls, said = [], []

    def ask(process, work, steps=None):
        calls.append((work, steps))
        if steps is None:
            return {"left_out": "it is not there"} if work == "c" else {"images": 10}
        return {"seconds": steps * {"a": 0.5, "b": 1.0}[work]}

    ways = {way.upper(): ("here", way) for way in "abc"}
    found, left_out = turns.in_turn(ways, ask, rounds=3, say=said.append)
    assert said == [*(f"making ready: {way}" for way in "ABC"), "3 turns of each, about 13 s in all"]
    assert left_out == {"C": "it is not there"}
    assert found["A"] == {"images": 10, "steps": 4, "images_per_second": [20] * 3}
    assert found["B"] == {"images": 10, "steps": 2, "images_per_second": [10] * 3}
    assert calls[-6:] == [("a", 4), ("b", 2), ("b", 2), ("a", 4), ("a", 4), ("b", 2)]
    assert summary.pair("x", "work", "A", "B", found)["median_ratio"] == 2
    assert turns.in_turn(ways, ask, rounds=1, steps=7)[0]["B"]["steps"] == 7


def test_a_process_that_ends_is_told():
    request = {"task": dataclasses.asdict(SMALL), "work": "task.nothing"}
    with turns.worker() as ask:
        for _ in range(2):
            with pytest.raises(
                ChildProcessError, match="process of task.nothing has ended, code 1: AttributeError: .*nothing"
            ):
                ask(**request)


def test_what_the_machine_does(monkeypatch):
    monkeypatch.setattr(machine, "SIDE", 64)
    monkeypatch.setattr(machine, "COPIED", 2**16)
    monkeypatch.setattr(machine, "REPEATS", 1)
    monkeypatch.setattr(machine, "REST", "print(0.5)")
    monkeypatch.setattr(machine, "DEPTH", 8)
    monkeypatch.setattr(machine, "WIDTH", 8)
    said = []
    for name in bench.SINGLE:
        _, facts = getattr(machine, name)(SMALL)
        said += summary.SINGLE[name](facts)
        json.dumps(facts)
        if name == "ceilings":
            most = max(max(rates) for rates in facts["matmul_gflops"].values())
            assert summary.peak_flops({"ceilings": facts}) == 1e9 * most > 0
        if name == "composition":
            assert facts["mib"]["peak"] >= facts["mib"]["built"] > 100 and facts["seconds"]["compose"] > 0
        if name == "startup":
            assert facts["seconds_after_tensorflow"] == [0.5]
            assert all(0 < each < 5 for seconds in facts["seconds"].values() for each in seconds)
    assert len(said) == 2 + 2 + 4 + 3, said
    assert summary.peak_flops({}) is None


@pytest.mark.parametrize("model", ["resnet14", "speednet"])
def test_networks_in_pytorch_are_ours(model):
    torch_networks = pytest.importorskip("keras_dd.bench.torch_networks", exc_type=ImportError)

    ours = sum(weight.numpy().size for weight in MODELS[model](width=8).trainable_weights)
    for groups in 1, 2:
        network = torch_networks.ResNet(14, 8, groups) if model == "resnet14" else torch_networks.Speednet(8, groups)
        assert sum(each.numel() for each in network.parameters() if each.requires_grad) == groups * ours
    task = Task(model, width=8, parts=2, batch_size=4)
    for work, images in (torch_works.full, 4), (torch_works.one_by_one, 8), (torch_works.grouped, 8):
        do, facts = work(task)
        assert facts == {"images": images} and do(1) > 0


def test_pytorch_knows_the_depths_of_our_resnets():
    known = {"speednet": None} | {f"resnet{depth}": depth for depth in DEPTHS}
    assert known == torch_works.DEPTHS
    assert "not written in PyTorch" in torch_works.full(Task("resnet50"))[1]["left_out"]
    assert "not written in PyTorch" in torch_works.grouped(Task(width=18))[1]["left_out"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--rounds 0", "rounds is 0"),
        ("--model cnm", "did you mean 'cnn'"),
        ("--only full,subnet", "unknown measurement 'subnet': did you mean 'subnets'?"),
        ("--only ,", "unknown measurement ''"),
        ("--dtype float16", "unknown dtype 'float16'"),
        ("--output bench.png", "output 'bench.png' would be the picture: name the JSON file"),
        ("--parts 3 --width 2", "fewer than the 3 parts"),
    ],
)
def test_bench_refuses(options, said, capsys):
    assert ended(*options.split()) == 2
    assert said in capsys.readouterr().err
