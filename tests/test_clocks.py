"""clocks.py on runs whose every clock is known by mental arithmetic."""

import pytest

from keras_dd.clocks import CLOCKS, curve, handover, positions, shown, summary

# 4 sub-networks at once: 2 epochs in 40 s; composing 1 s, batch norm 3 s; 2 epochs of fine-tuning of 100 s.
HISTORY = [
    {"stage": f"subnet {k}", "epoch": epoch, "seconds": 20.0 * epoch, "test_accuracy": 0.1 * k}
    for epoch in (1, 2)
    for k in (1, 2, 3, 4)
]
HISTORY += [{"stage": "finetune", "epoch": e, "seconds": 100.0 * e, "test_accuracy": 0.6 + 0.1 * e} for e in (1, 2)]


def report(devices=1, **others):
    return {
        "settings": {"parts": 4, "batch_size": 100},
        "environment": {"devices": [f"GPU:{k}" for k in range(devices)]},
        "dataset": {"train": 1050},
        "macs": {"full": 1000, "subnet": 10},
        "seconds": {"subnets": 40.0, "compose": 1.0, "recalibrate": 3.0, "finetune": 200.0, "evaluate": 500.0},
        "evaluated_on": "test",
        "composed_accuracy": 0.5,
        "recalibrated_accuracy": 0.55,
    } | others


@pytest.mark.parametrize(
    ("clock", "devices", "subnets", "composed", "finetune"),
    [
        ("one-device", 1, (20, 40), (41, 44), (144, 244)),
        ("linked", 1, (5, 10), (11, 14), (39, 64)),
        ("unlinked", 1, (5, 10), (11, 14), (114, 214)),
        # Each sub-network had a device of its own, and the full network had all four.
        ("one-device", 4, (20, 40), (41, 44), (144, 244)),
        ("linked", 4, (20, 40), (41, 44), (144, 244)),
        ("unlinked", 4, (20, 40), (41, 44), (444, 844)),
        # On three devices one of them had two sub-networks.
        ("linked", 3, (10, 20), (21, 24), (99, 174)),
        # 1000 of the 1050 images make whole batches: 4 x 60 kFLOP and 6 MFLOP an epoch, wherever they are done.
        ("flops", 1, (240e3, 480e3), (480e3, 480e3), (6.48e6, 12.48e6)),
        ("flops", 4, (240e3, 480e3), (480e3, 480e3), (6.48e6, 12.48e6)),
    ],
)
def test_a_run_with_sub_networks(clock, devices, subnets, composed, finetune):
    run = report(devices)
    assert positions(run, HISTORY, clock) == pytest.approx([*subnets[:1] * 4, *subnets[1:] * 4, *finetune])
    assert handover(run, HISTORY, clock) == pytest.approx(composed)
    points = zip((*composed, *finetune), (0.5, 0.55, 0.7, 0.8), strict=True)
    assert curve(run, HISTORY, clock) == [pytest.approx(point) for point in points]


@pytest.mark.parametrize(
    ("clock", "expected"), [("one-device", 100), ("linked", 25), ("unlinked", 100), ("flops", 6e6)]
)
def test_a_run_of_the_full_network_alone_has_as_many_devices(clock, expected):
    history = [HISTORY[-2] | {"stage": "baseline"}]
    run = report(seconds={"baseline": 101.0}, composed_accuracy=None, recalibrated_accuracy=None, macs={"full": 1000})
    assert curve(run, history, clock) == [(pytest.approx(expected), pytest.approx(0.7))]


@pytest.mark.parametrize(
    ("clock", "composed", "finetune"),
    [
        ("one-device", (56, 59), (159, 259)),
        ("linked", (41, 44), (94, 144)),
        ("unlinked", (41, 44), (244, 444)),
        ("flops", (480e3, 480e3), (6.48e6, 12.48e6)),
    ],
)
def test_tasks_of_a_cluster_were_measured_each_alone(clock, composed, finetune):
    """The sub-networks had a device each, of which nothing more is ideal, and the full network had two."""
    tasks = {f"subnet {k}": {"devices": ["GPU:0"]} for k in (1, 2, 3, 4)} | {
        "finetune": {"devices": ["GPU:0", "GPU:1"]}
    }
    waited = report()["seconds"] | {"subnets": 55.0}  # 15 of them for machines
    run = report(environment={"devices": ["CPU:0"]}, seconds=waited, tasks=tasks)
    run["settings"]["engine"] = "ray"
    assert handover(run, HISTORY, clock) == pytest.approx(composed)
    assert positions(run, HISTORY, clock)[-2:] == pytest.approx(finetune)
    ends = {"flops": (240e3, 480e3)}.get(clock, (20, 40))
    assert positions(run, HISTORY, clock)[:8] == pytest.approx([*ends[:1] * 4, *ends[1:] * 4])


@pytest.mark.parametrize(
    ("engine", "devices", "networks", "composed"),
    [
        ("ray", ["GPU:0"], 1, 41),
        ("ray", ["GPU:0"], 2, 21),  # one alone has half of the work
        ("ray", ["GPU:0", "GPU:1"], 2, 41),  # each had a device of its own
        ("local", ["CPU:0"], 2, 11),  # workers: all four shared the cores of this machine
    ],
)
def test_networks_that_shared_a_task(engine, devices, networks, composed):
    tasks = {f"subnet {k}": {"devices": devices, "networks": networks} for k in (1, 2, 3, 4)}
    run = report(tasks=tasks)
    run["settings"]["engine"] = engine
    assert handover(run, HISTORY, "unlinked")[0] == pytest.approx(composed)
    assert handover(run, HISTORY, "one-device")[0] == 41  # the stage as it was waited for


def test_parts_of_several_widths_count_each():
    uneven = report(macs={"full": 1000, "subnet": 10, "subnets": 34})
    assert handover(uneven, HISTORY, "flops")[0] == pytest.approx(480e3 * 34 / 40)


def test_what_a_run_is_left_with_is_its_last_point():
    """The network diverged in its last epoch, and was brought back to the weights before."""
    run = report(final_accuracy=0.75)
    assert [y for _, y in curve(run, HISTORY, "linked")] == [0.5, 0.55, 0.7, 0.75]


@pytest.mark.parametrize("clock", CLOCKS)
def test_logical_cpus_are_one_device(clock):
    shared = report(environment={"devices": ["CPU:0", "CPU:1", "CPU:2", "CPU:3"]})
    assert positions(shared, HISTORY, clock) == positions(report(), HISTORY, clock)


@pytest.mark.parametrize("clock", CLOCKS)
def test_an_interrupted_run_has_the_clocks_of_what_it_did(clock):
    run = report(seconds={"total": 50.0}, composed_accuracy=None, recalibrated_accuracy=None)
    assert positions(run, HISTORY[:4], clock) == positions(report(), HISTORY, clock)[:4]
    assert curve(run, HISTORY[:4], clock) == []
    assert handover(run, HISTORY[:4], clock)[0] == pytest.approx(positions(run, HISTORY, clock)[0])
    assert handover(run, [], clock) == (0, 0)


def test_a_summary_has_what_was_reached():
    found = summary(report(), HISTORY)
    assert list(found) == list(CLOCKS)
    assert found["linked"] == pytest.approx({"composed": 11, "end": 64})
    assert summary(report(composed_accuracy=None), HISTORY[:4])["linked"] == {}


@pytest.mark.parametrize(
    ("clock", "value", "text"),
    [
        ("linked", 64, "64.0 seconds"),
        ("linked", 1234, "20.6 minutes"),
        ("unlinked", 36000, "10.0 hours"),
        ("flops", 6.48e6, "6.5 MFLOP"),
        ("flops", 2.9e14, "290.0 TFLOP"),
        ("flops", None, "–"),
    ],
)
def test_numbers_are_easily_read(clock, value, text):
    assert shown(clock, value) == text
