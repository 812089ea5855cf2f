"""arms.py: which runs a comparison makes, so that all take the same time, and which learning rates they have."""

import dataclasses

import pytest

from keras_dd import arms, timing
from keras_dd.config import Settings, UserError

STEPS = {"train": 1000, "evaluated": 100, "batch_size": 10, "devices": 1, "set_up": 0.0, "reestimation": 0.0}
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
    made = arms.arms_of(settings, ("tuned", "paper"), budget, MEASURED)
    assert (made["decomposed"].subnet_epochs, *(made[arm].epochs for arm in ("decomposed", "tuned", "paper"))) == epochs
    assert made["decomposed"].parts == 2 and made["paper"].recipe == "paper" and made["tuned"].recipe == "quick"
    assert {made[arm].method for arm in ("tuned", "paper")} == {"conventional"} and made["tuned"].parts == 4
    times = [timing.training_seconds(MEASURED.get(arm, MEASURED["decomposed"]), one) for arm, one in made.items()]
    assert max(times) == min(times)


@pytest.mark.parametrize(
    ("clock", "epochs"),
    [
        ("one-device", (4, 6, 8, 12)),
        ("linked", (4, 6, 8, 12)),  # both are twice as fast
        ("unlinked", (8, 6, 8, 12)),  # a sub-network alone takes half of what both take
        ("flops", (20, 6, 8, 8)),  # a tenth of the FLOPs; the paper's recipe has as many as the tuned one
    ],
)
def test_all_arms_take_the_same_time_on_a_clock(clock, epochs):
    flops = {"full": 4000, "subnets": 400, "subnet": 200}
    measured = {
        arm: rates | {name: rates[name] | {"flops": flops[name]} for name in flops if name in rates}
        for arm, rates in MEASURED.items()
    }
    made = arms.arms_of(Settings(parts=2), ("tuned", "paper"), 2599, measured, clock=clock)
    assert (made["decomposed"].subnet_epochs, *(made[arm].epochs for arm in ("decomposed", "tuned", "paper"))) == epochs
    on_clock = {arm: timing.on_clock(rates, clock, 2) for arm, rates in measured.items()}
    times = [timing.training_seconds(on_clock.get(arm, on_clock["decomposed"]), one) for arm, one in made.items()]
    assert max(times) == min(times)


@pytest.mark.parametrize("takes", ["tracing", "re-estimation"])
def test_what_is_not_training_is_time_too(takes):
    """It takes as long as an epoch of the full network does, which is one less, or two of the sub-networks."""
    measured = {"decomposed": dict(MEASURED["decomposed"])}
    if takes == "tracing":
        measured["decomposed"]["subnets"] = MEASURED["decomposed"]["subnets"] | {"tracing": 300.0}
    else:
        measured["decomposed"]["reestimation"] = 300.0
    made = arms.arms_of(Settings(), ("tuned",), 2599, measured)
    left = (2, 6, 8) if takes == "tracing" else (4, 5, 8)
    assert (made["decomposed"].subnet_epochs, made["decomposed"].epochs, made["tuned"].epochs) == left
    assert {timing.training_seconds(measured["decomposed"], one) for one in made.values()} == {2400}
    made = arms.arms_of(Settings(epochs=8), ("tuned",), None, measured)  # epochs against epochs
    assert (made["decomposed"].subnet_epochs, made["decomposed"].epochs, made["tuned"].epochs) == (4, 6, 8)


def test_both_get_the_same_search_and_never_see_the_test_images():
    made = arms.arms_of(Settings(), ("tuned", "paper"), 2400, MEASURED)
    assert arms.rates_of_search(made, ()) == {}
    rates = arms.rates_of_search(made, (0.01, 0.005))
    trials = arms.trials_of(made, rates)
    assert list(trials) == [f"search-{arm}-{rate}" for rate in ("0.01", "0.005") for arm in ("decomposed", "tuned")]
    assert {one.validation_split for one in trials.values()} == {0.1}
    assert {one.train_images for one in trials.values()} == {None}
    fewer = {arm: dataclasses.replace(one, train_images=48000) for arm, one in made.items()}
    assert {one.train_images for one in arms.trials_of(fewer, rates).values()} == {43200}  # of 45,000 that are left
    finals = arms.finals_of(made, 2)
    assert list(finals)[:4] == ["decomposed-seed0", "tuned-seed0", "paper-seed0", "decomposed-seed1"]
    assert {one.validation_split for one in finals.values()} == {0.0}


def test_the_rate_that_is_best_on_held_out_images_is_taken():
    reached = {"decomposed": {0.01: 0.5, 0.1: 0.4}, "tuned": {0.01: 0.5, 0.1: 0.6}}
    searched = {f"search-{a}-{r:g}": ({"final_accuracy": x}, []) for a in reached for r, x in reached[a].items()}
    found = arms.choice({arm: [0.01, 0.1] for arm in reached}, searched)
    assert {arm: chosen["learning_rate"] for arm, chosen in found.items()} == {"decomposed": 0.01, "tuned": 0.1}
    assert found["tuned"]["tried"] == {"0.01": 0.5, "0.1": 0.6}
    assert arms.choice({}, {}) == {}


def test_a_search_goes_on_beyond_its_edge():
    rates = {"decomposed": [0.5, 1.0, 2.0], "tuned": [0.5, 1.0, 2.0], "low": [0.5, 1.0], "one": [1.0]}
    best = {"decomposed": 2.0, "tuned": 1.0, "low": 0.5, "one": 1.0}
    found = arms.beyond(rates, {arm: {"learning_rate": rate} for arm, rate in best.items()})
    assert found == rates | {"decomposed": [0.5, 1.0, 2.0, 4.0], "low": [0.5, 1.0, 0.25]}
    made = dict.fromkeys(("decomposed", "tuned"), Settings())
    assert list(arms.trials_of(made, {arm: found[arm] for arm in made}))[-1] == "search-decomposed-4"


def test_the_baseline_of_the_paper_is_the_papers():
    asked = Settings(crop=4, padding="reflect", optimizer="sgd", learning_rate=0.1, batch_size=64, flip=False)
    made = arms.conventional(asked, "paper")
    assert (made.crop, made.padding, made.optimizer, made.learning_rate) == (None, None, None, None)
    assert (made.batch_size, made.flip, made.recipe, made.method) == (64, False, "paper", "conventional")
    assert arms.conventional(asked, "quick").crop == 4


def test_a_budget_for_less_than_two_epochs_is_refused():
    with pytest.raises(UserError, match="at least 2 epochs, and an epoch of the full network takes 5 min here"):
        arms.arms_of(Settings(), ("tuned",), 599, MEASURED)


def test_shorter_baselines_have_the_rate_of_the_tuned_one():
    made = arms.arms_of(Settings(), ("tuned",), 2599, MEASURED, shorter=2)
    assert list(made) == ["decomposed", "tuned", "tuned, 7 epochs", "tuned, 6 epochs"]
    assert [one.epochs for one in list(made.values())[1:]] == [8, 7, 6]
    assert arms.shorter_than_tuned(made) == ["tuned, 7 epochs", "tuned, 6 epochs"]
    chosen = {"decomposed": {"learning_rate": 0.02}, "tuned": {"learning_rate": 0.03}}
    assert [one.learning_rate for one in arms.with_rates(made, chosen).values()] == [0.02, 0.03, 0.03, 0.03]
    assert set(arms.rates_of_search(made, (0.01,))) == {"decomposed", "tuned"}
    with pytest.raises(UserError, match="shorter is 8: the baseline has 8 epochs here, so ask for at most 7"):
        arms.arms_of(Settings(), ("tuned",), 2599, MEASURED, shorter=8)


@pytest.mark.parametrize(
    ("settings", "baselines", "budget", "shorter", "message"),
    [
        ({}, ("paper",), 600, 1, "shorter is 1: it counts tuned baselines, so add --baseline tuned, or leave it out"),
        ({}, ("tuned",), 600, -1, "shorter is -1: it must be at least 0"),
        ({"epochs": 4}, ("tuned",), None, 4, "shorter is 4: it must be at least 0 and below the baseline's 4 epochs"),
    ],
)
def test_baselines_that_cannot_be_shorter_are_refused_before_anything_is_measured(
    settings, baselines, budget, shorter, message
):
    with pytest.raises(UserError, match=message):
        arms.check(Settings(**settings), baselines, 1, budget, {}, shorter)


def test_variants_take_the_same_time_at_the_rate_of_ours():
    also = {"overlap=0": {"overlap": 0}, "subnet-epochs=2,learning-rate=1": {"subnet_epochs": 2, "learning_rate": 1.0}}
    faster = MEASURED["decomposed"] | {"subnets": MEASURED["decomposed"]["subnets"] | {"step": 0.75}}
    made = arms.arms_of(Settings(), ("tuned",), 2599, MEASURED | {"overlap=0": faster}, also)
    assert list(made) == ["decomposed", *also, "tuned"]
    assert [(one.subnet_epochs, one.epochs) for one in made.values()] == [(4, 6), (8, 6), (2, 7), (None, 8)]
    assert [one.overlap for one in made.values()] == [None, 0, None, None]
    chosen = {"decomposed": {"learning_rate": 0.02}, "tuned": {"learning_rate": 0.03}}
    assert [one.learning_rate for one in arms.with_rates(made, chosen, also).values()] == [0.02, 0.02, 1.0, 0.03]
    assert [one.learning_rate for one in arms.with_rates(made, {}, also).values()] == [None, None, 1.0, None]
    trials = arms.trials_of(made, arms.rates_of_search(made, (0.01,)))
    assert list(trials) == ["search-decomposed-0.01", "search-tuned-0.01"]
    assert arms.name_of("off-diagonal=noise:0.3", 1) == "off-diagonal=noise_0.3-seed1"


@pytest.mark.parametrize(
    ("settings", "also", "message"),
    [
        ({"validation_split": 0.1}, {}, "method and validation_split"),
        ({}, {"wide": {"width": 8}}, "unknown setting of the variant 'wide', 'width'"),
        ({}, {"far": {"overlap": -1}}, "overlap is -1: it must be at least 0"),
    ],
)
def test_what_cannot_be_compared(settings, also, message):
    with pytest.raises(UserError, match=message):
        arms.check(Settings(**settings), ("tuned",), 1, 60, also)
