"""figures/airbench.py: what it makes of the published script, and of what that prints.  (It trains for an hour.)"""

import pytest
from support import script

airbench = script("airbench")
TABLE = """
---------------------------------------------------------------------------------
|  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |
---------------------------------------------------------------------------------
|       0  |      0  |     0.7120  |   0.6227  |               |      139.8601  |
|          |      1  |     0.8125  |   0.7856  |               |      269.8009  |
|          |   eval  |     0.8125  |   0.7856  |       0.7901  |      321.8009  |
---------------------------------------------------------------------------------
Mean: 0.7901    Std: nan
"""


@pytest.mark.parametrize("arm", airbench.PUBLISHED)
def test_every_line_that_wants_a_gpu_is_changed(arm):
    changes = airbench.CHANGES + airbench.PUBLISHED[arm]
    code = airbench.adapted("\n".join(there for there, _, _ in changes), arm, seed=7)
    assert "torch.manual_seed(7)" in code and "cuda" not in code and "compile" not in code and "half()" not in code
    assert all(here in code for _, here, _ in changes)


def test_another_script_is_refused():
    with pytest.raises(SystemExit, match=r"has no 'torch.device\(\"cuda\"\)': it must be airbench94_muon.py"):
        airbench.adapted("print('94 %')", "published", seed=0)


def test_epochs_and_views_are_read_from_its_table():
    told = airbench.told(TABLE.splitlines(keepends=True))
    assert told["curve"] == [[139.8601, 0.6227], [269.8009, 0.7856]]
    assert told["views_accuracy"] == 0.7901 and told["views_seconds"] == pytest.approx(52)
