"""The README keeps its word: its tables are those of the committed results."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_tables_are_those_of_the_committed_results():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "figures" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert tables.runs().count("\n") >= 3, "the table of runs is empty"
    assert tables.filled(readme) == readme, "run python figures/tables.py"
    for table in tables.TABLES:
        assert table() in readme
