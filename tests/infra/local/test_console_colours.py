"""Colours of the console can be read: WCAG 2.2, 1.4.3, in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.local import console

TOKENS = (Path(console.__file__).parent / "static" / "tokens.css").read_text()
THEMES = dict(zip(("dark", "light"), TOKENS.split(':root[data-theme="light"]'), strict=True))
TEXT = ("text", "muted", "faint", "blue", "green", "amber", "red")
GROUNDS = ("bg", "surface", "raised")


def colour(theme: str, name: str) -> str:
    (found,) = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", THEMES[theme])
    return str(found)


def luminance(code: str) -> float:
    """Relative luminance as WCAG defines it."""
    parts = [int(code[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_the_one_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_from_what_is_behind_it(theme: str, name: str, ground: str) -> None:
    assert contrast(colour(theme, name), colour(theme, ground)) >= 4.5
