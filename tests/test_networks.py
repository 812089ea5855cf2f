"""The networks of `keras.applications`: docs/networks.md says what comes out.

All of them take some minutes, `pytest -m networks`.  The common tests measure the smallest, and count the parameters of
the parts of the others from their index sets.
"""

import networks
import pytest


def assert_measured(name, expected):
    measured = networks.measure(name)
    for result in (measured, expected):
        result.pop("difference", None)  # measure() has compared it with 1e-4; it is not the same on each machine
    assert measured == expected, "run python tests/networks.py"


def test_the_page_is_that_of_the_results():
    results = networks.read()
    assert list(results) == list(networks.SIZES)
    assert networks.page(results) == networks.PAGE.read_text(encoding="utf-8"), "run python tests/networks.py"
    carried = [name for name, result in results.items() if "error" not in result]
    assert set(networks.SIZES) - set(carried) == {"ConvNeXtTiny"}
    assert all(results[name]["difference"] < 1e-4 for name in carried)


def test_mobilenet():
    assert_measured("MobileNet", networks.read()["MobileNet"])


@pytest.mark.parametrize("name", sorted(networks.SIZES.keys() - {"MobileNet"}))
def test_index_sets_give_the_parameters_of_the_parts(name):
    result = networks.read()[name]
    assert networks.counted(name) == result.get("parts", result.get("error"))


@pytest.mark.networks
@pytest.mark.parametrize("name", networks.SIZES)
def test_network(name):
    assert_measured(name, networks.read()[name])
