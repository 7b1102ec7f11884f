"""The scales' contrast, order and fitness for colour-blind readers, computed by published formulas."""

import itertools

import pytest

from lab.core.colour_scales import RGB, Scale, colour, contrast, encoded, ink_on, linear, luminance

STEPS = 33
SCALES: list[tuple[Scale, bool]] = [(scale, dark) for scale in ("sequential", "diverging") for dark in (True, False)]

# Severe protanomaly, deuteranomaly and tritanomaly: Machado, Oliveira and Fernandes, "A Physiologically-based Model for
# Simulation of Color Vision Deficiency", IEEE Transactions on Visualization and Computer Graphics 15 (2009), table 1, on
# linear RGB.
COLOUR_BLINDNESS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def simulated(rgb: RGB, kind: str) -> RGB:
    light = [linear(channel / 255) for channel in rgb]
    seen = [sum(factor * channel for factor, channel in zip(row, light, strict=True)) for row in COLOUR_BLINDNESS[kind]]
    red, green, blue = (round(255 * encoded(min(1.0, max(0.0, channel)))) for channel in seen)
    return red, green, blue


def lightness(rgb: RGB) -> float:
    """CIE 1976 L*, 0 to 100."""
    y = luminance(rgb)
    return float(116 * y ** (1 / 3) - 16 if y > 216 / 24389 else y * 24389 / 27)


def distance(one: RGB, other: RGB) -> float:
    """CIE 1976 colour difference: 2.3 is just noticeable."""

    def lab(rgb: RGB) -> tuple[float, float, float]:
        red, green, blue = (linear(channel / 255) for channel in rgb)
        x = (0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047
        y = 0.2126729 * red + 0.7151522 * green + 0.0721750 * blue
        z = (0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883
        fx, fy, fz = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
        return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)

    return sum((a - b) ** 2 for a, b in zip(lab(one), lab(other), strict=True)) ** 0.5


def places(scale: Scale) -> list[float]:
    low = 0.0 if scale == "sequential" else -1.0
    return [low + (1 - low) * step / (STEPS - 1) for step in range(STEPS)]


@pytest.mark.parametrize(("scale", "dark"), SCALES)
def test_ink_on_every_colour_has_the_contrast_of_readable_text(scale: Scale, dark: bool) -> None:
    for place in places(scale):
        paper = colour(scale, place, dark)
        assert contrast(ink_on(paper), paper) >= 4.5


@pytest.mark.parametrize("kind", [None, *COLOUR_BLINDNESS])
@pytest.mark.parametrize("dark", [True, False])
def test_lightness_alone_orders_the_sequential_scale_for_every_reader(kind: str | None, dark: bool) -> None:
    shown = [colour("sequential", place, dark) for place in places("sequential")]
    levels = [lightness(rgb if kind is None else simulated(rgb, kind)) for rgb in shown]
    if not dark:
        levels.reverse()
    assert all(after > before for before, after in itertools.pairwise(levels))
    assert levels[-1] - levels[0] > 60


@pytest.mark.parametrize("kind", [None, *COLOUR_BLINDNESS])
@pytest.mark.parametrize("dark", [True, False])
def test_size_and_sign_of_the_diverging_scale_are_told_by_every_reader(kind: str | None, dark: bool) -> None:
    def seen(value: float) -> RGB:
        rgb = colour("diverging", value, dark)
        return rgb if kind is None else simulated(rgb, kind)

    for sign in (-1, 1):
        levels = [lightness(seen(sign * step / 16)) for step in range(17)]
        assert all((after > before) == dark for before, after in itertools.pairwise(levels))
    for size in (0.25, 0.5, 1.0):
        assert distance(seen(size), seen(-size)) > 10, "the signs look alike"


def test_values_beyond_the_scale_are_cut_zero_has_no_hue_and_black_contrasts_most_with_white() -> None:
    assert colour("sequential", 7.0) == colour("sequential", 1.0)
    assert colour("sequential", -1.0) == colour("sequential", 0.0)
    assert colour("diverging", -3.0) == colour("diverging", -1.0)
    for dark in (True, False):
        red, green, blue = colour("diverging", 0.0, dark)
        assert max(red, green, blue) - min(red, green, blue) <= 2
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((255, 255, 255), (0, 0, 0)) == pytest.approx(21)
