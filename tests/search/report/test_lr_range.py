from pathlib import Path

from search.protocol import Ranged, RangePoint
from search.report.lr_range import lr_range_figure, write_lr_range
from search.study.lr_range import suggest

POINTS = tuple(RangePoint(10 ** (step / 10 - 4), 2.3 - 0.03 * step, 0.1 + 0.01 * step) for step in range(30))
RANGED = Ranged(POINTS, diverged=False)


def test_the_figure_shows_every_point_and_the_suggested_range() -> None:
    suggestion = suggest(RANGED)
    figure = lr_range_figure(RANGED, suggestion, "resnet20-b")
    assert [trace.name for trace in figure.data] == ["loss", "loss, smoothed", "accuracy, smoothed"]
    assert all(list(trace.x) == [point.lr for point in POINTS] for trace in figure.data)
    (shape,) = figure.layout.shapes
    assert (shape.x0, shape.x1) == (suggestion.lowest, suggestion.highest)


def test_the_page_needs_no_network_and_a_name_cannot_become_markup(tmp_path: Path) -> None:
    path = tmp_path / "plot.html"
    write_lr_range(RANGED, suggest(RANGED), "<img src=x onerror=alert(1)>", path)
    page = path.read_text()
    assert "<img src=x" not in page
    assert 'src="http' not in page
    assert "plotly" in page
