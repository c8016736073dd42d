"""The one palette, light and dark, as colour-blind readers see it: every stop is told from the next, and − from +."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import flowgrad as fg
from flowgrad.viewer.palette import ABOVE, BELOW, EITHER_ABOVE, EITHER_BELOW, RAMPS, SERIES, code
from flowgrad.viewer.record import record

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
SEEN = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
GROUNDS = {"light": (250, 249, 246), "dark": (19, 22, 27)}
PACKAGE = files("flowgrad")


def lab(linear: Any) -> Any:
    """CIELAB of linear sRGB under D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(p: Any, q: Any, seen: Any) -> float:
    """ΔE (1976) of two colours; 2 is just noticed."""
    given = [np.array(c) / 255 for c in (p, q)]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in given]
    first, second = (lab(np.array(seen) @ c) for c in linear)
    return float(np.linalg.norm(first - second))


@pytest.mark.parametrize("kind", SEEN)
def test_stops_are_told_apart(kind: str) -> None:
    for ramp in [ramp for palette in RAMPS.values() for ramp in palette.values()]:
        assert len(ramp) == 5
        assert all(distance(p, q, SEEN[kind]) > 20 for p, q in pairwise(ramp))
        assert distance(ramp[0], ramp[4], SEEN[kind]) > 50
        assert distance(ramp[1], ramp[3], SEEN[kind]) > 30


@pytest.mark.parametrize("kind", SEEN)
def test_lines_are_told_apart_and_from_their_ground(kind: str) -> None:
    for p, q in ((BELOW, ABOVE), (EITHER_BELOW, EITHER_ABOVE), SERIES):
        assert distance(rgb(p), rgb(q), SEEN[kind]) > 40
    for ground in GROUNDS.values():
        for colour in (EITHER_BELOW, EITHER_ABOVE):
            assert distance(rgb(colour), ground, SEEN[kind]) > 40


def rgb(text: str) -> list[int]:
    return [int(text[k : k + 2], 16) for k in (1, 3, 5)]


def luminance(colour: Any) -> float:
    """Relative luminance of WCAG 2."""
    c = np.array(colour) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(p: Any, q: Any) -> float:
    low, high = sorted((luminance(p), luminance(q)))
    return (high + 0.05) / (low + 0.05)


def test_lines_can_be_seen_on_their_grounds() -> None:
    """WCAG 2.1, 1.4.11: graphical objects have a contrast of 3 to 1 or more."""
    for palette in RAMPS.values():
        for theme, ramp in palette.items():
            assert min(contrast(ramp[k], GROUNDS[theme]) for k in (0, -1)) > 3
    for colour in (EITHER_BELOW, EITHER_ABOVE):
        assert min(contrast(rgb(colour), ground) for ground in ((255, 255, 255), GROUNDS["dark"])) > 3


def test_orange_is_below_0_and_blue_above_it_everywhere() -> None:
    orange_blue = next(iter(RAMPS.values()))
    for below, above in [(ramp[0], ramp[-1]) for ramp in orange_blue.values()] + [
        (rgb(p), rgb(q)) for p, q in ((BELOW, ABOVE), (EITHER_BELOW, EITHER_ABOVE))
    ]:
        assert below[0] > below[1] > below[2]
        assert above[2] > above[1] > above[0]
    assert tuple(code(orange_blue["light"][k]) for k in (0, -1)) == (BELOW, ABOVE)
    assert record(fg.topologies.layered([2, 1], seed=0))["ramps"] == RAMPS


def test_colours_stand_in_one_place() -> None:
    for folder in ("displays", "cli", "viewer"):
        for path in PACKAGE.joinpath(folder).iterdir():
            if path.name.endswith(".py") and path.name != "palette.py":
                assert not re.search(r"#[0-9a-f]{6}\b", path.read_text(encoding="utf-8")), path.name
    script = PACKAGE.joinpath("viewer", "assets", "palette.js").read_text(encoding="utf-8")
    assert "const RAMPS = D.ramps;" in script
    style = PACKAGE.joinpath("viewer", "assets", "page.css").read_text(encoding="utf-8")
    assert f"--up: {SERIES[0]}; --down: {SERIES[1]};" in style
