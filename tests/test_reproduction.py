"""reproduction.py, published.py, timing.py: published numbers beside ours, and what a budget makes of an experiment."""

import dataclasses
import json

import pytest

from keras_dd import campaign, engines, measures, outcome, reproduction, reproduction_report, timing
from keras_dd.apps.main import main
from keras_dd.config import Settings, UserError
from keras_dd.models import MODELS
from keras_dd.published import CITED, EXPERIMENTS, Experiment, Value

DIGITS = {"dataset": "digits", "model": "cnn", "width": 4, "batch_size": 64}
TINY = Experiment(
    "Tiny: two ways on digits",
    {
        "decomposed": DIGITS | {"parts": 2, "subnet_epochs": 2, "epochs": 1, "train_images": 128},
        "random": DIGITS | {"method": "conventional", "epochs": 2, "train_images": 128},
        "large": DIGITS | {"method": "conventional", "width": 1000},
    },
    (
        Value("accuracy", "94.09", "accuracy", "decomposed"),
        Value("sub_net_2", "81.40", "accuracy of sub-network 2", "decomposed"),
        Value("speed-up", "1.51x", "speed-up on K devices without a link", "decomposed", "random"),
        Value("large", "99.00", "accuracy", "large"),
        Value("converged", "some 80 epochs", "epochs to converge", "random"),
    ),
    {"decomposed": {"train_images": 64}, "random": {}},
    feature_maps=True,
)

# What a step takes, in whole seconds.
FULL = {"step": 3.0, "evaluation": 10.0, "tracing": 2.0, "set_up": 5.0, "bytes": 1}
RATES = {"train": 1000, "evaluated": 100, "batch_size": 10, "set_up": 7.0, "full": FULL, "reestimation": 6.0}
RATES |= {"subnets": FULL | {"step": 1.0}, "subnet": FULL | {"step": 0.5}}


def test_every_experiment_can_be_asked_for():
    for experiment in EXPERIMENTS.values():
        for arm, fields in experiment.arms.items():
            settings = Settings(**fields)
            assert settings.model in MODELS
            dataclasses.replace(settings, **experiment.small.get(arm, {}))
        assert experiment.small and set(experiment.small) <= set(experiment.arms)
        for value in experiment.values:
            assert value.measure in {*measures.MEASURES, CITED}
            assert {value.arm, value.against or value.arm} <= set(experiment.arms)


def test_the_published_ratios_are_those_of_the_published_numbers():
    """A slip of the pen would show."""
    table1 = {value.name: value.published for value in EXPERIMENTS["table1"].values}
    for net in ("R32", "R56", "R110"):
        ratio = float(table1[f"{net} random"]) / float(table1[f"{net} decomposed"])
        assert f"{ratio:.2f}x" == table1[f"{net} speed-up"]
    table2 = {value.name: value.published for value in EXPERIMENTS["fastresnet-table2"].values}
    for depth in (56, 110, 668):
        basic, type1 = (float(table2[f"{depth} {block} seconds an epoch"]) for block in ("basic", "type1"))
        assert float(table2[f"{depth} time saved"].split()[0]) == pytest.approx(100 - 100 * type1 / basic, abs=0.15)
    assert len(EXPERIMENTS["table2"].values) == 7 * 6 + 3


def test_what_a_run_takes():
    conventional = Settings(method="conventional", epochs=2)
    assert timing.training_seconds(RATES, conventional) == 2 + 2 * 100 * 3
    assert timing.run_seconds(RATES, conventional) == 600 + 7 + 5 + 4 * 10
    decomposed = Settings(subnet_epochs=3, epochs=1, train_images=505)
    assert timing.training_seconds(RATES, decomposed) == 2 + 3 * 50 * 1 + 6 + 2 + 50 * 3
    assert timing.training_seconds(RATES, dataclasses.replace(decomposed, reestimate=False)) == 2 + 150 + 2 + 150
    assert timing.epochs_of(Settings(recipe="paper")) == {"subnets": 120, "full": 80}
    assert timing.epochs_of(Settings(recipe="paper", method="conventional")) == {"full": 160}


@pytest.mark.parametrize(
    ("budget", "epochs", "images"),
    [
        (10**6, (120, 80, 160), None),
        # A quarter: 30 * 100 + 20 * 300 and 40 * 300 seconds of training, evaluations, one re-estimation; twice.
        (2 * (21_000 + 96 * 10 + 6 + 29), (30, 20, 40), None),
        (2 * (21_000 + 96 * 10 + 6 + 28), (29, 20, 39), None),
        (6000, (6, 4, 8), 630),
    ],
)
def test_a_budget_buys_epochs_and_then_images(budget, epochs, images):
    arms = {
        "decomposed": Settings(recipe="paper", subnet_epochs=120, epochs=80),
        "random": Settings(recipe="paper", method="conventional", epochs=160),
    }
    measured = dict.fromkeys(arms, RATES)
    found = reproduction.shrunk(arms, measured, 2, budget, TINY)
    counts = (found["decomposed"].subnet_epochs, found["decomposed"].epochs, found["random"].epochs)
    taken = 2 * sum(timing.run_seconds(RATES, settings) for settings in found.values())
    assert taken <= budget and (images is None or taken > 0.97 * budget)
    assert counts == epochs
    if images is None:
        assert {settings.train_images for settings in found.values()} == {None}
    else:
        [count] = {settings.train_images for settings in found.values()}
        assert count == pytest.approx(images, rel=0.05)


def test_a_budget_can_be_too_small():
    arms = {"random": Settings(recipe="paper", method="conventional", epochs=160)}
    with pytest.raises(UserError, match=r"too small: 3 x 1 runs of 8 epochs of 50 images take about 12 min here"):
        reproduction.shrunk(arms, {"random": RATES}, 3, 500, TINY)


def test_time_left():
    one, other = Settings(epochs=1), Settings(epochs=2)
    again = dataclasses.replace(one, seed=1, learning_rate=0.1, run_dir="a")
    assert campaign.seconds_left([one, other, again], [], lambda settings: settings.epochs) == 1 + 2 + 1
    assert campaign.seconds_left([one, other, again], [(one, 60)], lambda settings: settings.epochs) == 2 + 60
    assert campaign.seconds_left([one], [(one, 60)], None) == 0
    assert [campaign.duration(s) for s in (8.4, 100, 5940, 12345)] == ["8 s", "2 min", "99 min", "3 h 26 min"]


def test_a_campaign_goes_on_and_ends(tmp_path, monkeypatch, capsys):
    """Stopped in its second run, then in a measurement, asked for otherwise, and at last let go on to its end."""
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    monkeypatch.setattr(timing, "STEPS", 2)
    where = tmp_path / "campaign"
    begun = []

    def reproduce(seeds=1):
        return reproduction.reproduce("tiny", "small", 600.0, seeds, str(where), "keras-dd reproduce tiny")

    def stop_at(place, function):
        def stopping(*args, **kwargs):
            begun.append(args)
            if len(begun) == place:
                raise KeyboardInterrupt
            return function(*args, **kwargs)

        return stopping

    with monkeypatch.context() as patch:
        patch.setattr(engines, "ready", stop_at(3, engines.ready))
        with pytest.raises(outcome.Interrupted, match="go on with the same command: keras-dd reproduce tiny") as end:
            reproduce()
    assert end.value.code == 130
    finished = (where / "runs" / "decomposed-seed0" / "report.json").stat().st_mtime_ns
    with pytest.raises(UserError, match="seeds is 1 in .*, not 2: a campaign goes on as it began"):
        reproduce(seeds=2)
    capsys.readouterr()
    found = reproduce()
    said = capsys.readouterr().out
    assert "Run 2 of 2: random-seed0; about" in said and "Run 1" not in said and "Measuring" not in said
    assert (where / "runs" / "decomposed-seed0" / "report.json").stat().st_mtime_ns == finished
    assert json.loads((where / "reproduction.json").read_text()) == found
    assert (where / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "94.09" in (where / "reproduction.html").read_text()
    text = (where / "reproduction.md").read_text()
    reports = {
        arm: json.loads((where / "runs" / f"{arm}-seed0" / "report.json").read_text())
        for arm in ("decomposed", "random")
    }
    assert f"| accuracy | 94.09 | {100 * reports['decomposed']['final_accuracy']:.2f} % |" in text
    assert f"| sub_net_2 | 81.40 | {100 * reports['decomposed']['subnet_accuracy'][1]:.2f} % |" in text
    assert "train images 64 instead of 128" in text and "left out: large" in text and "here: one seed" in text
    assert set(found["timing"]["decomposed"]) >= {"full", "subnets", "subnet"}
    assert "subnet" not in found["timing"]["random"]
    [speedup] = [value["ours"][0] for value in found["values"] if value["name"] == "speed-up"]
    assert 0 < speedup < 100
    assert len(found["pictures"]) == 5 and all((where / picture).exists() for picture in found["pictures"])
    assert "![](feature-maps/kernels.png)" in text
    assert "99.00" not in text  # of the arm that was left out


def test_arms_of_one_pace_are_measured_once(monkeypatch):
    """Of the ablation, three: by the overlap of the boxes."""
    asked = []
    monkeypatch.setattr(timing, "measure", lambda settings: asked.append(settings) or {"overlap": settings.overlap})
    arms = {arm: Settings(**fields) for arm, fields in EXPERIMENTS["ablation"].arms.items()}
    measured = reproduction._measured(arms)
    assert [settings.overlap for settings in asked] == [8, 0, 4]
    assert {arm: each["overlap"] for arm, each in measured.items()} == {a: s.overlap for a, s in arms.items()}


def test_the_two_columns_and_what_was_shrunk():
    full = {arm: Settings(**fields) for arm, fields in TINY.arms.items()}
    used = {
        "decomposed": dataclasses.replace(full["decomposed"], epochs=4, train_images=64),
        "random": dataclasses.replace(full["random"], epochs=8, train_images=64),
    }
    shrunk = reproduction.differences(full, used)
    assert shrunk == ["train images 64 instead of 128", "epochs 4 instead of 1, 8 instead of 2"]
    values = [{"name": "a", "published": "7.62 ± 0.15", "measure": "error", "ours": [50.0, 52.0]}]
    found = {"about": "A", "scale": "small", "seeds": 2, "shrunk": shrunk, "left_out": ["large"], "values": values}
    assert reproduction_report.lines(found)[1] == ("a", "7.62 ± 0.15", "51.00 ± 1.41 %")
    head = "\n".join(reproduction_report.head(found))
    assert "not to be compared" in head and "left out: large" in head and "2 seeds" in head


def test_what_was_never_published_is_a_table_of_arms():
    shown = [("a", "accuracy as composed", 50.0), ("b", "accuracy as composed", 40.0), ("a", "accuracy", 60.0)]
    values = [{"arm": arm, "published": "–", "measure": what, "ours": [x]} for arm, what, x in shown]
    values.append(values[-1] | {"arm": "b", "ours": []})
    found = {"about": "A", "scale": "small", "seeds": 1, "shrunk": ["epochs 4 instead of 6"], "left_out": []}
    found["values"] = values
    assert reproduction_report.lines(found) == [
        ("arm", "accuracy as composed", "accuracy"),
        ("a", "50.00 %", "60.00 %"),
        ("b", "40.00 %", "–"),
    ]
    assert reproduction_report.head(found)[1] == "shrunk: epochs 4 instead of 6"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tabel1", "full", None), "unknown experiment 'tabel1': did you mean 'table1'"),
        (("table1", "full", 60.0), "a budget is for --scale small"),
        (("table1", "small", None), "a budget is for --scale small, which needs one"),
    ],
)
def test_mistakes(arguments, message, tmp_path):
    with pytest.raises(UserError, match=message):
        reproduction.reproduce(*arguments, None, str(tmp_path / "run"), "a test")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tabel1", "unknown experiment 'tabel1': did you mean 'table1'"),
        ("table1 --scale full --budget 10min", "a full-scale experiment has no budget"),
        ("table1 --seeds 0", "seeds is 0"),
        ("table1 --budget 0s", "'0s' is no time"),
    ],
)
def test_mistakes_in_the_command_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["reproduce", *arguments.split()])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_something_else_in_the_folder_is_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a campaign"):
        reproduction.reproduce("fig4", "full", None, 1, str(tmp_path), "a test")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
