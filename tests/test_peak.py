"""peak.py: what a process grows by.  That trainings are measured in processes of their own shows test_comparison.py."""

import numpy as np
import pytest

from keras_dd import peak

pytestmark = pytest.mark.skipif(not peak.STATUS.exists(), reason="there is no /proc here: Linux only")
MIB = 2**20


def test_growth_is_that_of_the_peak():
    def work():
        np.ones(64 * MIB, np.uint8).sum()  # given back at once

    assert 60 * MIB < peak.growth(work) < 80 * MIB
    assert peak.growth(lambda: None) < 8 * MIB  # the peak before does not count


def test_resident_memory_now_and_at_the_peak():
    assert MIB < peak.resident("VmRSS") <= peak.resident("VmHWM") < 2**36
