"""Colours of the microscope: levels, legend values, and text that stays legible on every one of
them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from workbench.widgets.tokens.row import QUANTITIES
from workbench.widgets.tokens.scales import LEVELS, UNKNOWN, colour_css, scale_of


def test_diverging_levels_follow_sign_and_size() -> None:
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, np.nan])
    scale = scale_of(QUANTITIES["change"], [values])
    levels = scale.levels(values)
    assert levels.tolist()[2] == 0
    assert levels[0] == -LEVELS
    assert levels[4] == LEVELS
    assert levels[1] == -levels[3] < 0
    assert levels[5] == UNKNOWN
    assert [scale.class_of(level) for level in (-6, 0, 6, UNKNOWN)] == ["n6", "", "p6", "na"]


def test_a_ratio_is_coloured_by_its_logarithm() -> None:
    scale = scale_of(QUANTITIES["ratio"], [np.array([0.5, 1.0, 2.0])])
    assert scale.levels(np.array([0.5, 1.0, 2.0, np.inf, 0.0])).tolist() == [-6, 0, 6, 6, -6]
    assert dict(scale.ticks())[0] == "1"
    assert float(dict(scale.ticks())[6]) == pytest.approx(2, rel=1e-3)
    assert float(dict(scale.ticks())[-6]) == pytest.approx(0.5, rel=1e-3)


def test_sequential_and_surprise() -> None:
    entropy = scale_of(QUANTITIES["entropy"], [np.array([0.0, 1.0, 3.0])])
    assert not entropy.signed
    assert entropy.levels(np.array([0.0, 3.0, 9.0])).tolist() == [0, 6, 6]
    assert entropy.class_of(6) == "s6"
    logp = scale_of(QUANTITIES["logp"], [np.array([0.0, -4.0])])
    assert logp.levels(np.array([0.0, -4.0])).tolist() == [0, 6]
    assert logp.ticks()[-1][1] == "−4"


def test_k1_can_be_negative_and_then_the_scale_has_two_sides() -> None:
    scale = scale_of(QUANTITIES["kl"], [np.array([-0.5, 0.5])])
    assert scale.signed
    assert scale.levels(np.array([-0.5, 0.5])).tolist() == [-6, 6]


def test_one_wild_value_does_not_wash_out_the_others() -> None:
    scale = scale_of(QUANTITIES["change"], [np.append(np.full(99, 0.1), 1000.0)])
    assert scale.levels(np.array([0.1]))[0] >= 4


def test_rounding_gets_no_colour() -> None:
    noise = np.array([1e-7, -3e-6, 2e-5])
    assert scale_of(QUANTITIES["mismatch"], [noise]).levels(noise).tolist() == [0, 0, 0]
    assert scale_of(QUANTITIES["ratio"], [1 + noise]).levels(1 + noise).tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize(
    "values",
    [np.zeros(0), np.full(3, np.nan), np.zeros(3), np.array([np.inf, -np.inf, np.nan])],
    ids=str,
)
def test_nothing_to_scale_is_no_error(name: str, values: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        scale = scale_of(QUANTITIES[name], [values])
        assert len(scale.levels(values)) == len(values)
    assert scale.ticks()


def test_sides_have_words() -> None:
    scale = scale_of(QUANTITIES["clipped"], [np.array([-1.0, 0.0, 1.0])])
    assert scale.levels(np.array([-1.0, 0.0, 1.0, np.nan])).tolist() == [-6, 0, 6, UNKNOWN]
    assert scale.ticks() == [(-6, "clipped low"), (0, "not clipped"), (6, "clipped high")]


def test_negative_differs_by_more_than_colour() -> None:
    css = colour_css(".x")
    stripes = re.search(r"([^\n]*)\{ background-image: repeating-linear-gradient", css)
    assert stripes is not None
    assert all(f".x .n{level}" in stripes[1] for level in range(1, LEVELS + 1))
    assert ".p" not in stripes[1]


def luminance(colour: tuple[float, float, float]) -> float:
    """WCAG 2's relative luminance."""
    parts = [
        c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4
        for c in colour
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ((255, 255, 255), (33, 33, 33)),
        ((17, 17, 17), (255, 255, 255)),
        ((31, 31, 31), (204, 204, 204)),
    ],
    ids=["JupyterLab light", "JupyterLab dark", "VS Code dark"],
)
def test_text_keeps_its_contrast_on_every_level(page, text) -> None:
    colours = re.findall(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\); \}", colour_css(".x"))
    assert len(colours) == 3 * LEVELS
    for *rgb, opacity in colours:
        mixed = tuple(
            float(opacity) * int(c) + (1 - float(opacity)) * p
            for c, p in zip(rgb, page, strict=True)
        )
        bright, dark = sorted((luminance(mixed), luminance(text)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5
