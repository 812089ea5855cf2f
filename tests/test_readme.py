"""The README and the pages in docs keep their word: their tables are those of the committed results."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def scripts(monkeypatch):
    """Modules of the folder figures can be imported."""
    monkeypatch.syspath_prepend(ROOT / "figures")


def test_tables_are_those_of_the_committed_results(scripts):
    import tables

    assert tables.runs().count("\n") >= 3, "the table of runs is empty"
    for page, functions in tables.PAGES.items():
        text = page.read_text(encoding="utf-8")
        assert tables.filled(text, functions) == text, "run python figures/tables.py"


def test_ideas_are_told_with_what_they_brought(scripts):
    import ideas

    text = ideas.PAGE.read_text(encoding="utf-8")
    assert ideas.ideas().count("\n") >= 8, "the table of ideas is empty"
    assert ideas.filled(text, ideas.TABLES) == text, "run python figures/ideas.py"


@pytest.mark.parametrize("script", sorted(ROOT.glob("figures/*.py")), ids=lambda path: path.name)
def test_what_the_scripts_import_is_there(script):
    """They take minutes and are not run here: a name that has moved would be found by the next who wants them."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_dd"):
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), name
