import math
from pathlib import Path

import pytest

from search.errors import InputError, TrainingError
from search.protocol import Ranged, RangePoint
from search.report.lr_range import in_recipe, lr_range_figure, require_range, smooth, suggest, write_lr_range

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


def test_a_curve_in_the_recipes_rates_has_the_same_losses() -> None:
    own = in_recipe(RANGED, 0.25)
    assert [point.lr for point in own.points] == [4 * point.lr for point in POINTS]
    assert [(point.loss, point.accuracy) for point in own.points] == [(p.loss, p.accuracy) for p in POINTS]
    assert suggest(own).highest == 4 * suggest(RANGED).highest


RATES = [10 ** (step / 20 - 4) for step in range(101)]  # 1e-4 to 10


def ranged(losses: list[float]) -> Ranged:
    points = tuple(RangePoint(lr, loss, 0.1) for lr, loss in zip(RATES, losses, strict=False))
    return Ranged(points, diverged=len(points) < len(RATES))


def test_the_range_ends_where_the_loss_is_lowest_and_begins_at_a_quarter() -> None:
    # A valley around 0.1, far wider than the running mean is long.
    suggestion = suggest(ranged([2.3 + 0.5 * (math.log10(lr) + 1) ** 2 for lr in RATES]))
    assert 0.1 <= suggestion.highest < 0.3
    assert suggestion.lowest == suggestion.highest / 4
    assert suggestion.highest in RATES


def test_the_range_begins_at_no_rate_that_was_not_tried() -> None:
    suggestion = suggest(ranged([1.0 + abs(step - 1) for step in range(12)]))
    assert (suggestion.lowest, suggestion.highest) == (RATES[0], RATES[1]) and RATES[1] / 4 < RATES[0]


def test_a_running_mean_of_a_constant_is_that_constant() -> None:
    assert smooth([2.5] * 40) == pytest.approx([2.5] * 40)


def test_a_running_mean_weighs_the_past_by_nine_tenths_a_step() -> None:
    assert smooth([1.0, 2.0, 4.0])[2] == pytest.approx((4 + 0.9 * 2 + 0.81 * 1) / (1 + 0.9 + 0.81))


def test_a_test_that_diverged_at_once_says_where_to_begin() -> None:
    with pytest.raises(TrainingError, match=r"^the loss diverged after 3 steps: begin at a smaller learning rate$"):
        suggest(ranged([2.3, 8.0, 50.0]))


def test_a_loss_that_never_fell_suggests_nothing() -> None:
    with pytest.raises(TrainingError, match=r"^the loss never fell: "):
        suggest(ranged([2.3 + 0.01 * step for step in range(101)]))


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf)])
def test_what_is_no_range_is_refused(lowest: float, highest: float) -> None:
    with pytest.raises(InputError, match=r"^min-lr = .*, max-lr = .*: must be above 0, the second above the first$"):
        require_range(lowest, highest, 100)


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(InputError, match=r"^steps = 9: must be 10 or more$"):
        require_range(0.1, 1.0, 9)
