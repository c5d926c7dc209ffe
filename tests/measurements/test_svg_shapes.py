"""Shapes of the overview: valid XML, escaped text, the same characters each time."""

import xml.etree.ElementTree

from measurements import svg_shapes as svg
from measurements.draw_overview import overview


def test_a_picture_is_valid_and_its_text_is_escaped() -> None:
    shapes = [svg.text((1, 2), "a < b & c"), svg.rectangle((0, 0), 3, 4, "#fff"), *svg.arrow((5, 5), 14, svg.INK)]
    shapes += [svg.line((0, 0), (1, 1), svg.INK, dash="2 2"), svg.circle((2, 2), 1, svg.OURS)]
    root = xml.etree.ElementTree.fromstring(svg.picture(10, 20, "title", "what is < seen", shapes))
    assert (root.get("width"), root.get("height")) == ("10", "20")
    texts = [element.text for element in root.iter() if element.text and element.text.strip()]
    assert texts == ["title", "what is < seen", "a < b & c"]


def test_coordinates_have_one_decimal() -> None:
    assert svg.line((0, 1 / 3), (2 / 3, 1), "#000") == (
        '<line x1="0.0" y1="0.3" x2="0.7" y2="1.0" stroke="#000" stroke-width="1"/>'
    )


def test_drawing_twice_gives_the_same_characters() -> None:
    assert overview() == overview()
