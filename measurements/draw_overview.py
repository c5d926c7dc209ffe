"""docs/overview.svg: accuracy against bytes on disk, and below it the way from photos to the CSV, with real figures."""

from measurements.draw_frontier import frontier_shapes
from measurements.draw_stages import HEIGHT as STRIP_HEIGHT
from measurements.draw_stages import stage_shapes
from measurements.svg_shapes import picture

WIDTH, PLOT_HEIGHT = 800, 390


def overview() -> str:
    """The picture as the text of an SVG file."""
    return picture(
        WIDTH,
        PLOT_HEIGHT + STRIP_HEIGHT,
        "Validation accuracy against bytes on disk, and the way from photos to the CSV",
        "Above: validation accuracy of packed files on food11 against their bytes on disk, on a logarithmic axis. "
        "Below: photos, teachers, soft labels, student, packed file and CSV of the submission food11.",
        [*frontier_shapes(WIDTH, PLOT_HEIGHT), *stage_shapes(WIDTH, PLOT_HEIGHT)],
    )
