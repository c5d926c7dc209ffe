"""Shapes of an SVG as text: the same characters on every machine, coordinates with one decimal."""

from collections.abc import Sequence
from html import escape

INK, MUTED, GRID, LIGHT = "#1f2933", "#5f6c7b", "#e4e8ec", "#f5f7f9"
OURS, OURS_LIGHT, OTHER, ENSEMBLE = "#0b6e8f", "#cfe6ee", "#8a94a0", "#c2570c"
FONT = "-apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
Place = tuple[float, float]


def text(at: Place, words: str, size: float = 12, colour: str = INK, anchor: str = "start", weight: int = 400) -> str:
    """A line of text; `anchor`: start, middle or end of it is at the place."""
    style = f'font-size="{size:g}" fill="{colour}" text-anchor="{anchor}"' + (
        f' font-weight="{weight}"' if weight != 400 else ""
    )
    return f"<text {_xy(at)} {style}>{escape(words)}</text>"


def rectangle(at: Place, width: float, height: float, fill: str, stroke: str = "none", radius: float = 0) -> str:
    """A rectangle from its upper left corner."""
    rounded = f' rx="{radius:g}"' if radius else ""
    line = "" if stroke == "none" else f' stroke="{stroke}"'
    return f'<rect {_xy(at)} width="{width:.1f}" height="{height:.1f}" fill="{fill}"{line}{rounded}/>'


def line(start: Place, end: Place, colour: str, width: float = 1, dash: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def circle(at: Place, radius: float, fill: str, stroke: str = "#ffffff", width: float = 1.5) -> str:
    """A disc with an outline."""
    centre = f'cx="{at[0]:.1f}" cy="{at[1]:.1f}"'
    return f'<circle {centre} r="{radius:g}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>'


def curve(places: Sequence[Place], colour: str, width: float = 2) -> str:
    """Straight lines from place to place."""
    along = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return f'<polyline points="{along}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def arrow(start: Place, length: float, colour: str) -> list[str]:
    """A short arrow to the right."""
    x, y = start
    tip = f"{x + length:.1f},{y:.1f} {x + length - 6:.1f},{y - 4:.1f} {x + length - 6:.1f},{y + 4:.1f}"
    return [line(start, (x + length - 5, y), colour, 1.5), f'<polygon points="{tip}" fill="{colour}"/>']


def picture(width: int, height: int, title: str, description: str, shapes: Sequence[str]) -> str:
    """The whole file: white ground, a title and a description for those who cannot see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    named = f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>"
    ground = rectangle((0, 0), width, height, "#ffffff")
    return "\n".join([f'{head} role="img" font-family="{FONT}">', named, ground, *shapes, "</svg>"]) + "\n"


def _xy(at: Place) -> str:
    return f'x="{at[0]:.1f}" y="{at[1]:.1f}"'
