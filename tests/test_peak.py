"""peak.py: what a process grows by, and what a training takes, in a process of its own."""

import numpy as np

from keras_dd import peak
from keras_dd.config import Settings

MIB = 2**20


def test_growth_is_that_of_the_peak():
    def work():
        np.ones(64 * MIB, np.uint8).sum()  # given back at once

    assert 60 * MIB < peak.growth(work) < 80 * MIB
    assert peak.growth(lambda: None) < 8 * MIB  # the peak before does not count


def test_resident_memory_now_and_at_the_peak():
    assert MIB < peak.resident("VmRSS") <= peak.resident("VmHWM") < 2**36


def test_a_process_that_ends_leaves_it_to_the_estimate(monkeypatch, capsys):
    monkeypatch.setattr(peak.sys, "executable", "/bin/false")
    assert peak.of_training(Settings(method="conventional"), (32, 32, 3), classes=3) == {}
    assert "Memory cannot be measured here, and is estimated (code 1" in capsys.readouterr().out


def test_a_training_is_measured_in_a_process_of_its_own():
    before = peak.resident("VmHWM")
    settings = Settings(method="conventional", model="cnn", width=16, batch_size=512)
    found = peak.of_training(settings, (32, 32, 3), classes=3)
    # The first layer alone gives 512 images of 32 x 32 x 16 floats, which wait for the backward pass.
    assert found.keys() == {"full"} and 512 * 32 * 32 * 16 * 4 < found["full"] < 2**31
    assert peak.resident("VmHWM") < before + 16 * MIB
