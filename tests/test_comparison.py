"""comparison.py, verdict.py: pairs of curves by mental arithmetic, equal time, and a whole comparison on digits."""

import json

import pytest
from test_arms import MEASURED

from keras_dd import clocks, comparison, comparison_report, peak, report, verdict
from keras_dd.apps.main import main

BASELINE = [(100, 0.5), (200, 0.6), (300, 0.7), (400, 0.8)]
FASTER = [(50, 0.3), (200, 0.8), (410, 0.85)]
WORSE = [(50, 0.3), (200, 0.7), (390, 0.75)]
LONGER = [(50, 0.3), (400, 0.7), (800, 0.9)]
LATE, EARLY = [(400, 0.5), (800, 0.7)], [(100, 0.5), (200, 0.9)]


def test_between_two_epochs_a_curve_is_a_straight_line():
    assert verdict.reaches(BASELINE, 0.6) == 200 and verdict.reaches(BASELINE, 0.65) == pytest.approx(250)
    assert verdict.reaches(BASELINE, 0.4) == 100 and verdict.reaches(BASELINE, 0.81) is None
    assert verdict.at(BASELINE, 275) == pytest.approx(0.675) and verdict.at(BASELINE, 300) == 0.7
    assert verdict.at(BASELINE, 99) == 0 and verdict.at(BASELINE, 500) == 0.8
    falling = [(1, 0.9), (2, 0.8)]
    assert verdict.reaches(falling, 0.8) == 1 and verdict.at(falling, 5) == 0.8
    composed = [(1, 0.5), (1, 0.6), (3, 0.8)]  # of FLOPs, re-estimation takes none
    assert verdict.at(composed, 1) == 0.6 and verdict.reaches(composed, 0.6) == 1


def test_a_pair():
    found = verdict.pair(FASTER, BASELINE, at_ends=True)
    assert (found["target"], found["ours"], found["baseline"], found["ratio"]) == (0.8, 200, 400, 2)
    assert found["equal_time"] == 410
    assert found["difference"] == pytest.approx(0.05) and found["final"] == pytest.approx(0.05)
    found = verdict.pair(WORSE, BASELINE, at_ends=True)
    assert (found["ours"], found["ratio"]) == (None, None) and found["difference"] == pytest.approx(-0.05)
    found = verdict.pair(LONGER, BASELINE, at_ends=False)
    assert (found["ours"], found["ratio"], found["equal_time"]) == pytest.approx((600, 2 / 3, 400))
    assert found["difference"] == pytest.approx(-0.1) and found["final"] == pytest.approx(0.1)


def test_arms_end_together_or_not_whatever_a_single_seed_does():
    slow = [(50, 0.3), (450, 0.75)]  # of one seed, at which the machine did something else
    found = verdict.compared([WORSE, slow], [BASELINE, BASELINE])
    assert found["summary"]["times"] == pytest.approx(1.05)
    assert [each["difference"] for each in found["pairs"]] == pytest.approx([-0.05, -0.05])
    assert not verdict.is_together(verdict.compared([slow], [BASELINE])["summary"]["times"])


def test_between_baselines_of_two_lengths_it_is_their_ends_that_count():
    shorter, longer = [(100, 0.5), (200, 0.7)], [(100, 0.4), (200, 0.6), (300, 0.8)]
    ours = [(50, 0.3), (250, 0.78)]
    found = verdict.compared([ours] * 2, [longer] * 2, [[shorter] * 2])
    each, summary = found["pairs"][0], found["summary"]
    assert each["equal_time"] == 250 and each["difference"] == pytest.approx(0.03)  # 0.75 lies between their ends
    assert summary["as_fast"] == pytest.approx(280 / 250) and summary["reached"] == 0
    said = verdict.sentence("tuned", "on one device", summary)
    assert "is 1.12x as fast as a baseline that ends with its accuracy, and at equal time" in said
    assert said.endswith("+3.00 ± 0.00 points: better, over 2 seeds.")
    assert "†" not in comparison_report.gain(summary)


def test_between_lengths_a_single_seed_may_have_met_something():
    """Of the second seed the shorter baseline took longer than ours, and than the longer one."""
    ours, longer, shorter = (
        [[(250, 0.8)], [(250, 0.78)]],
        [[(300, 0.82)], [(300, 0.8)]],
        [[(90, 0.7)], [(310, 0.72)]],
    )
    found = verdict.compared(ours, longer, [shorter])
    assert [each["difference"] for each in found["pairs"]] == pytest.approx([0.04, 0.02])  # half way of the means


@pytest.mark.parametrize(("end", "between"), [(189, False), (191, True), (314, True), (316, False)])
def test_ours_may_end_a_little_outside_of_the_lengths(end, between):
    summary = verdict.compared([[(end, 0.75)]] * 3, [[(300, 0.8)]] * 3, [[[(200, 0.7)]] * 3])["summary"]
    assert summary["between"] is between and ("†" in comparison_report.gain(summary)) is not between
    assert "not judged" in verdict.judgement(summary) or between or end > 300  # then it has more time and is worse


@pytest.mark.parametrize(("accuracy", "longer"), [(0.6, 0.8), (0.9, 0.8), (0.75, 0.65)])
def test_an_accuracy_that_no_length_has_tells_no_time(accuracy, longer):
    summary = verdict.compared([[(250, accuracy)]], [[(300, longer)]], [[[(200, 0.7)]]])["summary"]
    assert summary["as_fast"] is None and verdict.is_fair(summary)
    said = verdict.sentence("tuned", "on one device", summary)
    assert "ends with an accuracy that none of the lengths of the baseline has, and at equal time" in said


def test_three_lengths_are_two_lines():
    lengths = [[(100, 0.5)]], [[(200, 0.7)]]
    for x, accuracy, expected in ((150, 0.62, 160 / 150), (250, 0.62, 160 / 250), (250, 0.72, 220 / 250)):
        summary = verdict.compared([[(x, accuracy)]], [[(300, 0.8)]], lengths)["summary"]
        assert summary["as_fast"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ([FASTER] * 3, "reaches its final accuracy 2.00x as fast, and at equal time its accuracy is +5.00 ± 0.00"),
        ([FASTER] * 3, "better, over 3 seeds."),
        ([WORSE] * 3, "does not reach its final accuracy in any of 3 seeds"),
        ([WORSE] * 3, "-5.00 ± 0.00 points: worse, over 3 seeds."),
        ([FASTER, WORSE], "reaches its final accuracy in 1 of 2 seeds only, there 2.00x as fast"),
        ([FASTER, WORSE], "+0.00 ± 7.07 points: no clear difference over 2 seeds."),
        ([LONGER] * 3, "at the end, after 2.00x its time, its accuracy is +10.00 ± 0.00 points: not judged"),
        ([LATE] * 3, "at the end, after 2.00x its time, its accuracy is -10.00 ± 0.00 points: worse, over 3 seeds."),
        ([EARLY] * 3, "at the end, after 0.50x its time, its accuracy is +10.00 ± 0.00 points: better, over 3 seeds."),
        ([WORSE], "does not reach its final accuracy, and at equal time its accuracy is -5.00 points: one seed"),
    ],
)
def test_the_verdict_follows_from_the_numbers(ours, said):
    found = verdict.compared(ours, [BASELINE] * len(ours))["summary"]
    sentence = verdict.sentence("tuned", "on one device", found)
    assert sentence.startswith("Against the tuned baseline, on one device: decomposition ") and said in sentence


def test_a_difference_is_clear_beyond_what_seeds_make_of_it():
    def judged(*differences):
        return verdict.judgement({"seeds": len(differences), "times": 1, "difference": verdict.spread(differences)})

    assert judged(0.01, 0.02, 0.03) == "no clear difference over 3 seeds"  # 3.5 times its error of 0.01 / sqrt(3)
    assert judged(0.02, 0.03, 0.04) == "better, over 3 seeds"  # 5.2 times
    assert judged(-0.02, -0.03, -0.04) == "worse, over 3 seeds"
    assert judged(0.02, 0.03) == "no clear difference over 2 seeds"  # 5 times
    assert judged(*[0.01, 0.02] * 10) == "better, over 20 seeds"


LINE = "compare --width 4 --parts 2 --train-images 128 --epochs 2 --subnet-epochs 1 --seeds 1 --baseline tuned"


def test_a_whole_comparison(tmp_path, capsys, monkeypatch):
    # What is measured elsewhere: see the tests of reproduction.py and of peak.py.
    monkeypatch.setattr(comparison, "measure", lambda *asked: {"decomposed": MEASURED["decomposed"]})
    peaks = {"full": 300 * 2**20, "subnets": 200 * 2**20, "subnet": 100 * 2**20}
    monkeypatch.setattr(peak, "of_training", lambda settings, image_shape, classes: peaks)
    where = tmp_path / "run"
    line = f"{LINE} --search none --also head-scale=2 --shorter 1 --run-dir {where}"
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
    _, history = report.read(where / "runs" / "decomposed-seed0")
    saved = (1 - 0.75 / 1.5) * history[0]["seconds"]  # of the one epoch of the sub-networks
    assert one["decomposed"][0][-1][0] - unlinked["decomposed"][0][-1][0] == pytest.approx(saved)
    stages = found["arms"]["decomposed"]["stages"]
    assert {stage: [reports["decomposed"]["seconds"][stage]] for stage in stages} == stages and len(stages) == 4
    assert found["arms"]["decomposed"]["seconds"] == [one["decomposed"][0][-1][0]]
    assert found["environment"]["git"] == reports["tuned"]["environment"]["git"]
    assert [found["remarks"].get(f"{arm}-seed0", []) for arm in reports] == [*map(report.remarks, reports.values())]
    assert found["arms"]["decomposed"]["peak_bytes"] == peaks
    assert found["arms"]["tuned"]["peak_bytes"] == {"full": peaks["full"]}
    assert "100 / 200 / 300 MiB" in said
    # Of FLOPs, an epoch of the sub-networks and one of the whole are more than one epoch and less than two.
    [ended] = found["curves"]["flops"]["tuned, 1 epoch"]
    assert len(ended) == 1 and found["against"]["tuned"]["flops"]["summary"]["between"]
    assert (
        found["against"]["tuned"]["flops"]["pairs"][0]["equal_time"] == found["curves"]["flops"]["decomposed"][0][-1][0]
    )
    assert all("shorter baselines: " in (where / f"comparison.{kind}").read_text() for kind in ("md", "html"))
    variant = found["variants"]["head-scale=2"]
    assert variant["changed"] == {"head_scale": 2.0} and set(variant["against"]) == {"decomposed", "tuned"}
    ends = [found["arms"][arm]["final_accuracy"][0] for arm in ("head-scale=2", "decomposed")]
    gain = variant["against"]["decomposed"]["flops"]["summary"]["difference"]["mean"]
    assert gain == pytest.approx(ends[0] - ends[1], abs=1e-6) and "against decomposed" in said
    for kind in "md", "html":
        assert "against decomposed" in (where / f"comparison.{kind}").read_text()
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
    monkeypatch.setattr(comparison, "measure", lambda *asked: {"decomposed": MEASURED["decomposed"]})
    with pytest.raises(SystemExit):
        main(["compare", "--baseline", "tuned", "--budget", "1s", "--run-dir", "new"])
    assert "ask for a larger --budget" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not [*(tmp_path / "mine").iterdir()]


def test_a_dry_run_says_what_and_how_long(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "measure", lambda *asked: MEASURED)
    with pytest.raises(SystemExit) as end:
        main(["compare", "--budget", "40min", "--seeds", "2", "--search", "0.01", "--dry-run"])
    said = capsys.readouterr().out
    assert not end.value.code
    assert "decomposed: 4 epochs of subnets + 6 epochs of full, 40 min of training" in said
    assert "  paper-seed1 " in said and "8 runs, about 5 h" in said
    with pytest.raises(SystemExit):
        main(["compare", "--budget", "40min", "--clock", "unlinked", "--search", "none", "--dry-run"])
    # A sub-network alone takes half of what all of them take: twice as many epochs, which take longer here.
    assert "decomposed: 8 epochs of subnets + 6 epochs of full, 50 min of training" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:  # the runs of the search have fewer images than that
        main(["compare", "--epochs", "8", "--train-images", "20000", "--search", "0.01", "--dry-run"])
    assert not end.value.code and "  search-tuned-0.01 " in capsys.readouterr().out
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
        ("--also overlap", "'overlap' is not OPTION=VALUE, as overlap=8, of those of fit"),
        ("--also far=3", "'far=3' is not OPTION=VALUE"),
        ("--also overlap=many", "'many' is not a valid integer"),
        ("--also epochs=3", "unknown setting of the variant 'epochs=3', 'epochs'"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["compare", *arguments.split()])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
