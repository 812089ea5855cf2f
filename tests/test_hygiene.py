"""A sample of hygiene.py: a few epochs and a few runs leave memory, threads and open files as they were."""

import gc

import hygiene
import pytest
import support


@pytest.fixture(autouse=True)
def what_was_there_before():
    """It is not looked through again at each measurement, which takes longer than an epoch."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def test_epochs_take_no_more_and_more_memory(tmp_path):
    seen = hygiene.epochs(support.network(), support.digits(128, 50), 24, tmp_path / "run", parts=2)
    assert len(seen) == 24 and hygiene.growth(seen) < hygiene.GROWTH


def test_runs_leave_no_threads_and_no_files_open(tmp_path):
    first, last = hygiene.runs(support.network, support.digits(64, 50), 2, tmp_path, parts=2)
    assert last["files"] <= first["files"] and last["threads"] <= first["threads"]


def test_growth_is_noticed():
    """The comparison itself: five bytes a step are seen, noise is not."""
    assert hygiene.growth([{"rss": 1000 + 5 * i} for i in range(100)]) > hygiene.GROWTH
    assert hygiene.growth([{"rss": 1000 + i % 7} for i in range(100)]) < 1.01
