"""outcome.py: what a run that fails, or is interrupted, leaves to tell."""

import json
import re

import pytest
import support

from keras_dd import outcome, pipeline, report, train


@pytest.fixture(scope="module")
def few():
    return support.digits()


def fails(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_a_failure_is_reported_and_told(few, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "compose", fails(ZeroDivisionError("boom")))
    with pytest.raises(ZeroDivisionError, match="boom") as failure:
        support.untrained(support.network(), few, tmp_path / "run")
    assert str(tmp_path / "run") in failure.value.__notes__[0]
    written = json.loads((tmp_path / "run" / "report.json").read_text())
    assert written["interrupted"] == "compose" and len(written["subnet_accuracy"]) == 2
    assert "composed_accuracy" not in written
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {
        f"subnet{k}.{kind}" for k in (1, 2) for kind in ("weights.h5", "card.json")
    }


def test_a_report_that_fails_too_does_not_hide_the_failure(few, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write", fails(OSError(28, "No space left on device")))
    monkeypatch.setattr(train, "fit_subnets", fails(ZeroDivisionError("boom")))
    with pytest.raises(ZeroDivisionError, match="boom") as failure:
        support.untrained(support.network(), few, tmp_path / "run")
    assert re.search("without a report .*No space left", failure.value.__notes__[0])


def test_nor_does_it_hide_an_interruption(few, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write", fails(KeyboardInterrupt))  # Ctrl-C again
    monkeypatch.setattr(train, "fit_subnets", fails(KeyboardInterrupt))
    with pytest.raises(outcome.Interrupted, match="interrupted in stage 'subnets'.*without a report"):
        support.untrained(support.network(), few, tmp_path / "run")


def test_a_report_that_cannot_be_written_is_a_failure(few, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "write", fails(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        support.untrained(support.network(norm=False), few, tmp_path / "run", parts=2)
    assert (tmp_path / "run" / "model.keras").is_file()
