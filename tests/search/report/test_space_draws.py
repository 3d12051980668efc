from search.report.drawing import BLUE
from search.report.space_draws import draws_figure, draws_frame, lines
from search.space.limits import Limits
from search.space.profile import profile
from search.space.space import Space, Task

TASK = Task(8, 1, 10)
SPACE = Space.model_validate(
    {
        "stem": {"width": [4, 8]},
        "num_stages": [1, 2],
        "stage": {"block": "basic", "depth": [1, 2], "width": [4, 8, 64]},
        "weights": {"num_stages": {1: 3}, "stage": {"depth": "falling"}},
    }
)


def test_the_lines_show_four_histograms_and_the_weights():
    drawn = profile(SPACE, TASK, Limits(20_000), number=100)
    text = lines(drawn)
    assert text[:2] == [
        "what 100 random designs within the limits look like",
        "weighed    num_stages first, {1: 3}; stage.depth falling; all else equal",
    ]
    heads = [line.split()[0] for line in text[2:] if not line.startswith(" ")]
    assert heads == ["stages", "layers", "MACs", "parameters"]
    assert "median" in text[2] and "nine in ten from 1 to 2" in text[2]
    shares = [float(line.split("%")[0].split()[-1]) for line in text[2:] if line.startswith(" ")]
    assert round(sum(shares)) == 400
    one, two = text[3:5]
    assert one.split()[0] == "1" and one.count("#") == 30 > two.count("#") > 0


def test_what_is_always_the_same_has_a_median_alone():
    single = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": 9, "width": 4}}
    text = lines(profile(Space.model_validate(single), TASK, None, number=10))
    assert text[0] == "what 10 random designs of the whole space look like"
    assert text[1] == "weighed    all vectors of choices alike"
    assert text[4] == "layers     median 20"


def test_the_figure_has_a_panel_for_each_and_holds_every_draw_four_times():
    drawn = profile(SPACE, TASK, Limits(20_000), number=100)
    drawing, frame = draws_figure(drawn), draws_frame(drawn)
    assert len(drawing.figure.data) == 4
    for bars, name in zip(drawing.figure.data, ("stages", "layers", "MACs", "parameters"), strict=True):
        assert sum(bars.y) == 1.0
        assert len(bars.x) == len(bars.width) == (frame["property"] == name).sum()
        assert bars.marker.color == BLUE
    axes = [drawing.figure.layout[name] for name in ("xaxis", "xaxis2", "xaxis3", "xaxis4")]
    assert [axis.title.text for axis in axes] == ["Stages", "Layers", "MACs", "Parameters"]
    assert all(axis.range[0] < axis.range[1] for axis in axes)
    assert "num_stages first, {1: 3}; stage.depth falling; all else equal" in drawing.caption
    assert drawing.data is not None and drawing.data.equals(frame)


def test_a_single_value_is_drawn_too():
    single = {"stem": {"width": 4}, "num_stages": 1, "stage": {"block": "basic", "depth": 9, "width": 4}}
    drawing = draws_figure(profile(Space.model_validate(single), TASK, None, number=10))
    assert [list(bars.y) for bars in drawing.figure.data] == [[1.0]] * 4
    assert "layers 20 (20 to 20)" in drawing.caption
