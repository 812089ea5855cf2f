"""config.py: what Settings refuse, and the small language of off_diagonal."""

import pytest

from keras_dd.config import Settings, UserError, parse_off_diagonal, unknown
from keras_dd.recipes import RECIPES, Stage


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("parts", 0),
        ("method", "decompose"),
        ("learning_rate", -1e-3),
        ("train_images", 0),
        ("width", 0),
        ("overlap", -1),
        ("subnet_epochs", -1),
        ("epochs", -3),
        ("batch_size", 0),
        ("crop", -4),
        ("validation_split", -0.1),
        ("validation_split", 1.0),
        ("validation_split", float("nan")),
        ("seed", -1),
        ("seed", 2**31),
        ("shortcut", "identify"),
        ("block", "type3"),
        ("recipe", "papers"),
        ("dtype", "float16"),
        ("off_diagonal", "noise:loud"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field, value):
    with pytest.raises(UserError, match=f"{field}.*{value}|unknown {field} '{value}'"):
        Settings(**{field: value})


def test_bounds_are_allowed():
    Settings(parts=1, overlap=0, subnet_epochs=0, epochs=0, batch_size=1, crop=0, validation_split=0.5, seed=2**31 - 1)


def test_an_unknown_name_gets_a_hint():
    assert str(unknown("recipe", "papr", RECIPES)).startswith("unknown recipe 'papr': did you mean 'paper'?")
    assert "did you mean" not in str(unknown("recipe", "xyz", RECIPES))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("zeros", ("zeros", 1.0)),
        ("noise", ("noise", 1.0)),
        ("noise:0.3", ("noise", 0.3)),
        ("orthogonal:0", ("orthogonal", 0.0)),
        ("orthogonal:1e-2", ("orthogonal", 0.01)),
    ],
)
def test_off_diagonal(text, parsed):
    assert parse_off_diagonal(text) == parsed


@pytest.mark.parametrize("text", ["", "ones", "zeros:1", "noise:", "noise:-1", "noise:nan", "noise:inf", "noise:1:2"])
def test_off_diagonal_refuses(text):
    with pytest.raises(UserError, match="zeros, noise:SCALE or orthogonal:SCALE"):
        parse_off_diagonal(text)


def test_a_stage_moves_its_drops_with_its_length():
    stage = Stage(epochs=120, learning_rate=1e-3, schedule="step", drops=(80, 90))
    assert stage.lasting(12).drops == (8, 9)
    assert stage.lasting(None) is stage


def test_the_paper_recipe_is_the_papers():
    """Those of the paper, sec. 3."""
    paper = RECIPES["paper"]
    assert (paper.batch_size, paper.flip, paper.crop) == (128, True, 0)
    assert paper.subnets == Stage(120, 1e-3, "step", (80, 90))
    assert paper.finetune == Stage(80, 1e-4, "step", (20, 40, 60))
    assert paper.baseline == Stage(160, 1e-3, "step", (80, 120))


def test_the_fastresnet_recipe_is_that_of_its_paper():
    """Sec. 3.1 and 3.2."""
    recipe, stage = RECIPES["fastresnet"], RECIPES["fastresnet"].subnets
    assert (recipe.batch_size, recipe.flip, recipe.crop, recipe.standardize) == (128, True, 4, True)
    assert (stage.epochs, stage.learning_rate, stage.schedule, stage.drops) == (160, 0.1, "step", (80, 120))
    assert (stage.optimizer, stage.weight_decay) == ("sgd", 1e-4)


def test_the_speed_recipes_are_the_published_ones():
    """airbench94's decoupled rate and decay as those of the mean loss, and airbench94_muon's of the summed one."""
    recipe, stage = RECIPES["speed"], RECIPES["speed"].baseline
    assert (recipe.crop, recipe.padding, recipe.alternate, recipe.standardize) == (2, "reflect", True, True)
    images = 1024 * (1 + 1 / (1 - 0.85))
    assert stage.learning_rate == pytest.approx(11.5 / images * recipe.batch_size, rel=0.01)
    assert stage.weight_decay * stage.learning_rate == pytest.approx(0.0153 * recipe.batch_size / images, rel=0.01)
    assert (stage.momentum, stage.bias_rate, stage.label_smoothing) == (0.85, 64, 0.2)
    recipe, stage = RECIPES["speed-muon"], RECIPES["speed-muon"].baseline
    others = 7 * stage.learning_rate  # see `optimizer.OTHERS_RATE`
    assert (stage.epochs, stage.learning_rate, recipe.batch_size) == (8, 0.24, 2000)
    assert others == pytest.approx(0.67 * recipe.batch_size * (9 / 256) ** 2, rel=0.02)
    assert others * stage.bias_rate == pytest.approx(0.053 * recipe.batch_size, rel=0.02)
    assert others * stage.weight_decay == pytest.approx(2e-6 * recipe.batch_size, rel=0.02)


@pytest.mark.parametrize("epochs", [1, 2])
def test_no_drop_comes_before_the_first_epoch(epochs):
    assert min(RECIPES["paper"].finetune.lasting(epochs).drops) >= 1
