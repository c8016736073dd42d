"""The colours of pages, figures and notebooks. One meaning everywhere: orange is below 0, blue is above it.

Both hues, and the lightness of each stop, can be told apart with every common kind of colour blindness. Values far from
0 contrast with the background: dark on light, bright on dark.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

RAMPS: dict[str, dict[str, list[RGB]]] = {  # stops at −1, −½, 0, ½, 1, for light and dark backgrounds
    "orange–blue": {
        "light": [(176, 66, 4), (242, 160, 92), (240, 238, 233), (124, 176, 222), (20, 84, 164)],
        "dark": [(255, 172, 92), (168, 104, 56), (58, 64, 75), (58, 104, 158), (112, 186, 255)],
    },
    "purple–green": {
        "light": [(106, 38, 122), (186, 154, 202), (240, 238, 233), (132, 200, 132), (22, 112, 52)],
        "dark": [(222, 160, 240), (124, 88, 142), (58, 64, 75), (70, 130, 80), (128, 226, 136)],
    },
}


def code(colour: RGB) -> str:
    """Format a colour as `#rrggbb`."""
    return "#" + "".join(f"{part:02x}" for part in colour)


PAPER = [code(colour) for colour in RAMPS["orange–blue"]["light"]]  # the ramp of figures
BELOW, ABOVE = PAPER[0], PAPER[-1]  # lines in figures
EITHER_BELOW, EITHER_ABOVE = "#d9782a", "#4a90d9"  # lines and bars on an unknown background, light or dark
INK, GREY = "#22303c", "#8a97a3"
SERIES = "#00707a", "#7a6a00"  # training and validation curves, in hues that mean no sign
