"""comparison.py, verdict.py: pairs of curves by mental arithmetic, equal time, and a whole comparison on digits."""

import json

import pytest

from keras_dd import clocks, comparison, peak, timing, verdict
from keras_dd.apps.main import main
from keras_dd.config import Settings, UserError

BASELINE = [(100, 0.5), (200, 0.6), (300, 0.7), (400, 0.8)]
FASTER = [(50, 0.3), (200, 0.8), (410, 0.85)]
WORSE = [(50, 0.3), (200, 0.7), (390, 0.75)]


def test_first_reached_and_last_measured():
    assert verdict.reaches(BASELINE, 0.6) == 200 and verdict.reaches(BASELINE, 0.61) == 300
    assert verdict.reaches(BASELINE, 0.81) is None
    assert verdict.at(BASELINE, 299.9) == 0.6 and verdict.at(BASELINE, 300) == 0.7 and verdict.at(BASELINE, 1) == 0
    falling = [(1, 0.9), (2, 0.8)]
    assert verdict.reaches(falling, 0.8) == 1 and verdict.at(falling, 5) == 0.8


def test_a_pair():
    found = verdict.pair(FASTER, BASELINE)
    assert (found["target"], found["ours"], found["baseline"], found["ratio"]) == (0.8, 200, 400, 2)
    assert found["equal_time"] == 410  # the ends are within 5 %
    assert found["difference"] == pytest.approx(0.05) and found["final"] == pytest.approx(0.05)
    found = verdict.pair(WORSE, BASELINE)
    assert (found["ours"], found["ratio"]) == (None, None) and found["difference"] == pytest.approx(-0.05)
    longer = [(50, 0.3), (400, 0.7), (800, 0.9)]
    found = verdict.pair(longer, BASELINE)
    assert (found["ratio"], found["equal_time"]) == (0.5, 400)
    assert found["difference"] == pytest.approx(-0.1) and found["final"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ([FASTER] * 3, "reaches its final accuracy 2.00x as fast, and at equal time its accuracy is +5.00 ± 0.00"),
        ([FASTER] * 3, "better, over 3 seeds."),
        ([WORSE] * 3, "does not reach its final accuracy in any of 3 seeds"),
        ([WORSE] * 3, "-5.00 ± 0.00 points: worse, over 3 seeds."),
        ([FASTER, WORSE], "reaches its final accuracy in 1 of 2 seeds only, there 2.00x as fast"),
        ([FASTER, WORSE], "+0.00 ± 7.07 points: no clear difference over 2 seeds."),
        ([WORSE], "does not reach its final accuracy, and at equal time its accuracy is -5.00 points: one seed"),
    ],
)
def test_the_verdict_follows_from_the_numbers(ours, said):
    found = verdict.summary([verdict.pair(run, BASELINE) for run in ours])
    sentence = verdict.sentence("tuned", "on one device", found)
    assert sentence.startswith("Against the tuned baseline, on one device: decomposition ") and said in sentence


def test_a_difference_is_clear_beyond_what_seeds_make_of_it():
    def judged(*differences):
        return verdict.judgement({"seeds": len(differences), "difference": verdict.spread(differences)})

    assert judged(0.01, 0.02, 0.03) == "no clear difference over 3 seeds"  # 3.5 times its error of 0.01 / sqrt(3)
    assert judged(0.02, 0.03, 0.04) == "better, over 3 seeds"  # 5.2 times
    assert judged(-0.02, -0.03, -0.04) == "worse, over 3 seeds"
    assert judged(0.02, 0.03) == "no clear difference over 2 seeds"  # 5 times
    assert judged(*[0.01, 0.02] * 10) == "better, over 20 seeds"


STEPS = {"train": 1000, "evaluated": 100, "batch_size": 10, "set_up": 0.0, "reestimation": 0.0}
STEPS |= {"image_shape": [32, 32, 1], "classes": 10}
MEASURED = {"full": {"step": 3.0, "evaluation": 1.0, "tracing": 0.0, "set_up": 0.0, "bytes": 1}}
MEASURED |= {"subnets": MEASURED["full"] | {"step": 1.5}, "subnet": MEASURED["full"] | {"step": 0.75}}
MEASURED = {"decomposed": STEPS | MEASURED, "paper": STEPS | {"full": MEASURED["full"] | {"step": 2.0}}}


@pytest.mark.parametrize(
    ("settings", "budget", "epochs"),
    [
        ({}, 2599, (4, 6, 8, 12)),  # 300 s an epoch: 8; a quarter of 2400 s for sub-networks of 150 s an epoch
        ({"epochs": 8}, None, (4, 6, 8, 12)),
        ({"epochs": 8, "subnet_epochs": 8}, None, (8, 4, 8, 12)),
        ({"epochs": 8, "train_images": 100}, None, (4, 6, 8, 12)),
        ({}, 600, (2, 1, 2, 3)),  # one epoch of the sub-networks would leave 150 s unused
    ],
)
def test_all_arms_take_the_same_time(settings, budget, epochs):
    settings = Settings(parts=2, overlap=8, **settings)
    arms = comparison.arms_of(settings, ("tuned", "paper"), budget, MEASURED)
    assert (arms["decomposed"].subnet_epochs, *(arms[arm].epochs for arm in ("decomposed", "tuned", "paper"))) == epochs
    assert arms["decomposed"].parts == 2 and arms["paper"].recipe == "paper" and arms["tuned"].recipe == "quick"
    assert {arms[arm].method for arm in ("tuned", "paper")} == {"conventional"} and arms["tuned"].parts == 4
    times = [timing.training_seconds(MEASURED.get(arm, MEASURED["decomposed"]), one) for arm, one in arms.items()]
    assert max(times) == min(times)


@pytest.mark.parametrize("takes", ["tracing", "re-estimation"])
def test_what_is_not_training_is_time_too(takes):
    """It takes as long as an epoch of the full network does, which is one less, or two of the sub-networks."""
    measured = {"decomposed": dict(MEASURED["decomposed"])}
    if takes == "tracing":
        measured["decomposed"]["subnets"] = MEASURED["decomposed"]["subnets"] | {"tracing": 300.0}
    else:
        measured["decomposed"]["reestimation"] = 300.0
    arms = comparison.arms_of(Settings(), ("tuned",), 2599, measured)
    left = (2, 6, 8) if takes == "tracing" else (4, 5, 8)
    assert (arms["decomposed"].subnet_epochs, arms["decomposed"].epochs, arms["tuned"].epochs) == left
    assert {timing.training_seconds(measured["decomposed"], one) for one in arms.values()} == {2400}
    arms = comparison.arms_of(Settings(epochs=8), ("tuned",), None, measured)  # epochs against epochs
    assert (arms["decomposed"].subnet_epochs, arms["decomposed"].epochs, arms["tuned"].epochs) == (4, 6, 8)


def test_both_get_the_same_search_and_never_see_the_test_images():
    arms = comparison.arms_of(Settings(), ("tuned", "paper"), 2400, MEASURED)
    trials = comparison.trials_of(arms, (0.01, 0.005))
    assert list(trials) == [f"search-{arm}-{rate}" for rate in ("0.01", "0.005") for arm in ("decomposed", "tuned")]
    assert {one.validation_split for one in trials.values()} == {0.1}
    finals = comparison.finals_of(arms, 2)
    assert list(finals)[:4] == ["decomposed-seed0", "tuned-seed0", "paper-seed0", "decomposed-seed1"]
    assert {one.validation_split for one in finals.values()} == {0.0}


def test_the_rate_that_is_best_on_held_out_images_is_taken():
    arms = dict.fromkeys(("decomposed", "tuned", "paper"), Settings())
    reached = {"decomposed": {0.01: 0.5, 0.1: 0.4}, "tuned": {0.01: 0.5, 0.1: 0.6}}
    searched = {f"search-{a}-{r:g}": ({"final_accuracy": x}, []) for a in reached for r, x in reached[a].items()}
    found = comparison.choice(arms, (0.01, 0.1), searched)
    assert {arm: chosen["learning_rate"] for arm, chosen in found.items()} == {"decomposed": 0.01, "tuned": 0.1}
    assert found["tuned"]["tried"] == {"0.01": 0.5, "0.1": 0.6}
    assert comparison.choice(arms, (), {}) == {}


LINE = "compare --width 4 --parts 2 --train-images 128 --epochs 2 --subnet-epochs 1 --seeds 1 --baseline tuned"


def test_a_whole_comparison(tmp_path, capsys, monkeypatch):
    # What is measured elsewhere: see the tests of reproduction.py and of peak.py.
    monkeypatch.setattr(comparison, "measure", lambda settings, baselines: {"decomposed": MEASURED["decomposed"]})
    peaks = {"full": 300 * 2**20, "subnets": 200 * 2**20, "subnet": 100 * 2**20}
    monkeypatch.setattr(peak, "of_training", lambda settings, image_shape, classes: peaks)
    where = tmp_path / "run"
    line = f"{LINE} --search none --run-dir {where}"
    with pytest.raises(SystemExit) as end:
        main(line.split())
    said = capsys.readouterr().out
    assert not end.value.code
    found = json.loads((where / "comparison.json").read_text())
    assert found["command"] == f"keras-dd {line}"
    for text in (said, *((where / f"comparison.{kind}").read_text() for kind in ("md", "html"))):
        for sentence in found["verdict"]:
            assert sentence in " ".join(text.split())
        for clock in clocks.CLOCKS.values():
            assert clock.name in text
    assert max(map(len, said[said.index("arm ") :].splitlines())) <= 80
    reports = {}
    for arm in ("decomposed", "tuned"):
        reports[arm] = json.loads((where / "runs" / f"{arm}-seed0" / "report.json").read_text())
        assert reports[arm]["evaluated_on"] == "test"
        assert found["arms"][arm]["final_accuracy"] == [reports[arm]["final_accuracy"]]
        assert found["curves"]["one-device"][arm][0][-1][1] == pytest.approx(reports[arm]["final_accuracy"])
    # Twice the devices halve the baseline; one sub-network alone takes what was measured.
    one, linked, unlinked = (found["curves"][clock] for clock in ("one-device", "linked", "unlinked"))
    assert linked["tuned"][0][-1][0] == pytest.approx(one["tuned"][0][-1][0] / 2)
    assert unlinked["tuned"] == one["tuned"]
    saved = (1 - 0.75 / 1.5) * reports["decomposed"]["seconds"]["subnets"]
    assert one["decomposed"][0][-1][0] - unlinked["decomposed"][0][-1][0] == pytest.approx(saved)
    assert found["arms"]["decomposed"]["peak_bytes"] == peaks
    assert found["arms"]["tuned"]["peak_bytes"] == {"full": peaks["full"]}
    assert "100 / 200 / 300 MiB" in said
    for picture in "comparison.png", "curves.png":
        assert (where / picture).read_bytes().startswith(b"\x89PNG")

    made = {path: path.stat().st_mtime_ns for path in where.glob("runs/*/report.json")}
    (where / "comparison.json").unlink()
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert not end.value.code and json.loads((where / "comparison.json").read_text())["verdict"] == found["verdict"]
    assert made == {path: path.stat().st_mtime_ns for path in where.glob("runs/*/report.json")}
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([*line.split(), "--crop", "2"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert f"crop is None in '{where}', not 2: a campaign goes on as it began" in said


def test_a_slip_leaves_no_campaign_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for run_dir in (tmp_path / "new", tmp_path / "mine"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        with pytest.raises(SystemExit) as end:
            main([*LINE.split(), "--dataset", "nope", "--run-dir", str(run_dir)])
        said = capsys.readouterr().err
        assert end.value.code == 2 and said.count("\n") == 1 and "unknown data set 'nope'" in said
    # Neither does one that shows when times are known.
    monkeypatch.setattr(comparison, "measure", lambda settings, baselines: {"decomposed": MEASURED["decomposed"]})
    with pytest.raises(SystemExit):
        main(["compare", "--baseline", "tuned", "--budget", "1s", "--run-dir", "new"])
    assert "ask for a larger --budget" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not [*(tmp_path / "mine").iterdir()]


def test_a_dry_run_says_what_and_how_long(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "measure", lambda settings, baselines: MEASURED)
    with pytest.raises(SystemExit) as end:
        main(["compare", "--budget", "40min", "--seeds", "2", "--search", "0.01", "--dry-run"])
    said = capsys.readouterr().out
    assert not end.value.code
    assert "decomposed: 4 epochs of subnets + 6 epochs of full, 40 min of training" in said
    assert "  paper-seed1 " in said and "8 runs, about 5 h" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--budget 10min --epochs 3", "budget and epochs both say how long a run is"),
        ("--budget soon", "'soon' is no time, as 90s, 30min or 2h are"),
        ("--budget -1h", "is no time"),
        ("--search fast", "'fast' is not learning rates"),
        ("--search 0", "'0' is not learning rates"),
        ("--seeds 0", "0 seeds"),
        ("--baseline best", "best"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["compare", *arguments.split()])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_budget_for_less_than_two_epochs_is_refused():
    with pytest.raises(UserError, match="at least 2 epochs, and an epoch of the full network takes 5 min here"):
        comparison.arms_of(Settings(), ("tuned",), 599, MEASURED)
    with pytest.raises(UserError, match="method and validation_split"):
        comparison.compare(Settings(validation_split=0.1), ("tuned",), 1, 60, (), "nowhere", "a test")
