"""Both palettes, light and dark, as colour-blind readers see them: every stop is told from the next, and − from +."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TEXT = files("flowgrad.viewer").joinpath("assets", "palette.js").read_text(encoding="utf-8")
RAMPS = [json.loads(found) for found in re.findall(r"(?:light|dark): (\[\[[\d, \[\]]+\]\])", TEXT)]


def lab(linear: Any) -> Any:
    """CIELAB of linear sRGB under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(p: list[int], q: list[int], seen: Any) -> float:
    """ΔE (1976) of two colours; 2 is just noticed."""
    given = [np.array(c) / 255 for c in (p, q)]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in given]
    first, second = (lab(np.array(seen) @ c) for c in linear)
    return float(np.linalg.norm(first - second))


@pytest.mark.parametrize("kind", SEEN)
def test_stops_are_told_apart(kind: str) -> None:
    assert len(RAMPS) == 4
    for ramp in RAMPS:
        assert len(ramp) == 5
        assert all(distance(p, q, SEEN[kind]) > 20 for p, q in pairwise(ramp))
        assert distance(ramp[0], ramp[4], SEEN[kind]) > 50
        assert distance(ramp[1], ramp[3], SEEN[kind]) > 30
