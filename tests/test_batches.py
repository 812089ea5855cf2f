"""data/batches.py: what training and evaluation draw."""

import numpy as np
import pytest

from keras_dd import data
from keras_dd.config import UserError


def numbered(count, height=6, width=5, channels=2):
    """A split whose images can be told apart, and are labelled with their position."""
    images = np.random.default_rng(0).integers(1, 256, (count, height, width, channels), dtype="uint8")
    return data.Split(images, np.arange(count, dtype="int32"))


def first(batches, count):
    return [(x.numpy(), y.numpy()) for x, y in batches.take(count)]


def same(left, right):
    return all(
        np.array_equal(a, b) for one, two in zip(left, right, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_batches_are_uint8_images_and_int32_labels_without_end():
    batches = data.training_batches(numbered(10), 4)
    images, labels = batches.element_spec
    assert (images.shape, images.dtype.name) == ((4, 6, 5, 2), "uint8")
    assert (labels.shape, labels.dtype.name) == ((4,), "int32")
    assert batches.cardinality().numpy() == -1  # tf.data's word for infinite
    assert len(first(batches, 9)) == 9


def test_every_batch_is_a_function_of_seed_epoch_and_step():
    split, augmented = numbered(23), {"seed": 7, "crop": 1}
    steps = data.steps_per_epoch(split, 5)
    assert steps == 4
    whole = first(data.training_batches(split, 5, **augmented), 5 * steps)
    assert same(whole, first(data.training_batches(split, 5, **augmented), 5 * steps))
    assert same(whole[3 * steps :], first(data.training_batches(split, 5, first_epoch=3, **augmented), 2 * steps))


@pytest.mark.parametrize("count, batch_size", [(24, 4), (23, 5), (7, 7), (1, 1)])
def test_each_epoch_is_a_permutation(count, batch_size):
    steps = data.steps_per_epoch(numbered(count), batch_size)
    drawn = first(data.training_batches(numbered(count), batch_size), 3 * steps)
    for epoch in range(3):
        labels = np.concatenate([y for _, y in drawn[epoch * steps : (epoch + 1) * steps]])
        assert len(set(labels.tolist())) == len(labels) == count - count % batch_size


def test_epochs_and_seeds_have_unrelated_orders():
    split = numbered(2000, 1, 1, 1)
    orders = [
        first(data.training_batches(split, 2000, seed=seed, first_epoch=epoch), 1)[0][1]
        for seed, epoch in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2**31 - 1, 0))
    ]
    correlation = np.corrcoef(orders) - np.eye(len(orders))
    assert np.abs(correlation).max() < 0.1


def test_augmentation_is_drawn_anew_for_each_seed_epoch_and_step():
    alike = data.Split(np.repeat(numbered(1).images, 40, axis=0), np.zeros(40, "int32"))
    batches = [x for seed in (0, 1) for x, _ in first(data.training_batches(alike, 10, seed=seed, crop=2), 2 * 4)]
    assert len({batch.tobytes() for batch in batches}) == 2 * 2 * 4


def test_without_augmentation_the_images_are_untouched():
    split = numbered(20)
    for images, labels in first(data.training_batches(split, 6, flip=False, crop=0), 6):
        assert np.array_equal(images, split.images[labels])


def test_flip_mirrors_half_of_the_images():
    split = numbered(2000, 2, 3, 1)
    [(images, labels)] = first(data.training_batches(split, 2000), 1)
    same, mirrored = (
        (images == wanted).all(axis=(1, 2, 3)) for wanted in (split.images[labels], split.images[labels][:, :, ::-1])
    )
    assert (same | mirrored).all()
    assert 0.45 < mirrored.mean() < 0.55


def test_alternating_sides_are_drawn_once_and_then_take_turns():
    """Each image by itself: half of them begin mirrored, and each is the other way round an epoch later."""
    split = numbered(400, 2, 3, 1)

    def mirrored(epoch, **options):
        batches = data.training_batches(split, 100, first_epoch=epoch, alternate=True, **options)
        found = np.zeros(400, int)
        for images, labels in first(batches, 4):
            sides = [(images == wanted).all(axis=(1, 2, 3)) for wanted in (split.images[labels], _left(split, labels))]
            assert (sides[0] ^ sides[1]).all()
            found[labels] = sides[1]
        return found

    begins = mirrored(0)
    assert 0.4 < begins.mean() < 0.6
    for epoch in (1, 2, 5):
        assert np.array_equal(mirrored(epoch), (begins + epoch) % 2)
    assert 0.4 < (mirrored(0, seed=1) == begins).mean() < 0.6
    assert mirrored(1, flip=False).sum() == 0


def _left(split, labels):
    return split.images[labels][:, :, ::-1]


@pytest.mark.parametrize(("padding", "mode"), [("black", "constant"), ("reflect", "reflect")])
def test_crop_cuts_every_window_of_the_padded_image(padding, mode):
    split, margin = numbered(900), 2
    [(images, labels)] = first(data.training_batches(split, 900, flip=False, crop=margin, padding=padding), 1)
    padded = np.pad(split.images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode)[labels]
    seen = np.zeros((5, 5), int)
    for top in range(5):
        for left in range(5):
            window = padded[:, top : top + 6, left : left + 5]
            seen[top, left] = (images == window).all(axis=(1, 2, 3)).sum()
    assert seen.sum() == 900  # each image is exactly one window of its own padded image
    assert seen.min() > 10  # 36 of each are expected


@pytest.mark.parametrize("alternate", [False, True])
@pytest.mark.parametrize(("padding", "mode"), [("black", "constant"), ("reflect", "reflect")])
def test_a_crop_of_a_mirror_image_is_a_window_of_it(padding, mode, alternate):
    split, margin, options = numbered(900, 6, 9, 1), 2, {"padding": padding, "alternate": alternate}
    sides = []
    for epoch in (0, 1):
        [(images, labels)] = first(data.training_batches(split, 900, crop=margin, first_epoch=epoch, **options), 1)
        padded = np.pad(split.images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode)[labels]
        windows = [(side, top, left) for side in (0, 1) for top in range(5) for left in range(5)]
        found = [
            (images == (padded, padded[:, :, ::-1])[side][:, top : top + 6, left : left + 9]).all(axis=(1, 2, 3))
            for side, top, left in windows
        ]
        assert (np.sum(found, axis=0) == 1).all() and np.sum(found, axis=1).min() > 3  # 18 of each are expected
        side = np.empty(900, int)
        side[labels] = np.array([side for side, _, _ in windows])[np.argmax(found, axis=0)]
        sides.append(side)
    assert 0.45 < sides[0].mean() < 0.55
    assert np.array_equal(sides[1], 1 - sides[0]) is alternate


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"batch_size": 11}, "batch_size 11 is more than the 10 training images"),
        ({"batch_size": 0}, "batch_size 0 is not a whole number from 1"),
        ({"batch_size": 2.0}, "batch_size 2.0 is not"),
        ({"batch_size": True}, "batch_size True is not"),
        ({"batch_size": 2, "seed": -1}, "seed -1 is not"),
        ({"batch_size": 2, "seed": "0"}, "seed '0' is not"),
        ({"batch_size": 2, "first_epoch": -1}, "first_epoch -1 is not"),
        ({"batch_size": 2, "crop": -1}, "crop -1 is not a whole number from 0 to 4"),
        ({"batch_size": 2, "crop": 5}, "crop 5 is not"),
        ({"batch_size": 2, "padding": "blak"}, "unknown padding 'blak': did you mean 'black'"),
    ],
)
def test_training_batches_explain_a_mistake(kwargs, message):
    with pytest.raises(UserError, match=message):
        data.training_batches(numbered(10), **kwargs)


# -------------------------------------------------------------------------------------------- evaluation batches


@pytest.mark.parametrize("count, batch_size, steps", [(10, 4, 3), (8, 4, 2), (3, 4, 1), (5, 1, 5)])
def test_evaluation_batches_are_padded_with_weight_zero(count, batch_size, steps):
    split = numbered(count)
    batches = data.evaluation_batches(split, batch_size)
    assert batches.cardinality() == steps
    assert [tuple(spec.shape) for spec in batches.element_spec] == [(batch_size, 6, 5, 2), (batch_size,), (batch_size,)]
    images, labels, weights = (np.concatenate(column) for column in zip(*batches.as_numpy_iterator(), strict=True))
    assert (images.dtype, labels.dtype, weights.dtype) == (np.uint8, np.int32, np.float32)
    assert weights.sum() == count and weights[:count].all()
    assert np.array_equal(images[:count], split.images) and np.array_equal(labels[:count], split.labels)
    assert not images[count:].any()


def test_evaluation_batches_need_a_batch_size():
    with pytest.raises(UserError, match="batch_size 0 is not"):
        data.evaluation_batches(numbered(3), 0)


@pytest.mark.parametrize("kind", ["uint8", "int64"])
def test_labels_may_be_whole_numbers_of_any_type(kind):
    split = data.Split(np.zeros((6, 4, 4, 1), np.uint8), np.arange(6).astype(kind))
    [[_, labels, _]] = data.evaluation_batches(split, 6)
    _, drawn = next(iter(data.training_batches(split, 6)))
    assert labels.dtype == drawn.dtype == "int32"
    assert labels.numpy().tolist() == sorted(drawn.numpy().tolist()) == list(range(6))
