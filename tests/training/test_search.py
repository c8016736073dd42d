"""The example of a search with Optuna runs, where Optuna is installed."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "search" / "search.py"


def test_the_search_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    main = runpy.run_path(str(EXAMPLE))["main"]
    words = ["--trials", "2", "--folds", "2", "--study", str(tmp_path / "trials.log")]
    main(words)
    main(words)  # goes on
    out = capsys.readouterr().out
    assert "4 trials; the best log loss 0." in out
    assert "auc on 114 samples that no trial has seen: 0." in out or ": 1.00 [" in out
