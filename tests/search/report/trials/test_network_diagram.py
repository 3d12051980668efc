"""A network in parts: counted, drawn as bars, and as a picture."""

import math
from itertools import pairwise

import pytest

from models.architecture import Architecture, ArchitectureError, Stage, Stem
from models.count import count_macs, count_parameters
from search.report.trials.network_diagram import diagram_frame, draw_network, parts_figure, parts_frame

NETWORK = Architecture(
    Stem(16), (Stage("basic", 3, 16, dropout=0.1), Stage("bottleneck", 40, 64, kernel=5)), num_classes=10
)


def test_parts_add_up_to_the_network(architecture):
    network = architecture()
    frame = parts_frame(network, 32)
    assert frame["params"].sum() == count_parameters(network)
    assert frame["macs"].sum() == count_macs(network, 32)
    assert frame["params_share"].sum() == pytest.approx(1)


def test_parts_are_drawn_for_parameters_and_macs(architecture):
    drawn = parts_figure(parts_frame(architecture(), 32))
    assert {trace.name for trace in drawn.figure.data} == {"parameters", "MACs"}
    assert all(math.isclose(sum(trace.x), 1, abs_tol=1e-3) for trace in drawn.figure.data)


def test_the_frame_holds_every_part_and_all_parameters():
    frame = diagram_frame(NETWORK, 32)
    assert frame["kind"].tolist() == ["stem", "basic", "bottleneck", "head"]
    assert frame["depth"].tolist() == [1, 3, 40, 1]
    assert frame["params"].sum() == count_parameters(NETWORK)
    assert frame["params_share"].sum() == pytest.approx(1)
    assert frame["inner_width"].tolist() == [16, 16, 16, 10]
    assert frame["size"].tolist() == [32, 32, 16, 1]


def test_a_network_that_cannot_take_the_images_has_no_frame():
    with pytest.raises(ArchitectureError):
        diagram_frame(Architecture(Stem(8, kernel=7, padding=0), (Stage("basic", 1, 8),)), 2)


def test_every_block_is_a_bar_up_to_a_number_that_can_be_seen():
    stem, basic, bottleneck, head = draw_network(diagram_frame(NETWORK, 32), "one", "Trial 1", 64).parts
    assert [len(part.shapes) for part in (stem, basic, bottleneck, head)] == [1, 3, 28, 1]
    assert bottleneck.title[1] == "Stage 2: 40 \N{MULTIPLICATION SIGN} bottleneck"
    assert basic.lines[1][1] == "32\N{MULTIPLICATION SIGN}32 pixels, dropout 0.1"


def corners(shape):
    return [tuple(map(float, point.split(","))) for point in shape.split()]


def test_bars_are_as_wide_as_the_square_root_of_their_channels_and_bottlenecks_have_a_waist():
    _, basic, bottleneck, _ = draw_network(diagram_frame(NETWORK, 32), "one", "Trial 1", 64).parts
    widths = [max(x for x, _ in corners(part.shapes[0])) - min(x for x, _ in corners(part.shapes[0]))
              for part in (basic, bottleneck)]  # fmt: skip
    assert widths == [pytest.approx(50), pytest.approx(100)]
    assert len(corners(basic.shapes[0])) == 4
    waist = sorted(x for x, _ in corners(bottleneck.shapes[0]))[2:6]
    assert waist[-1] - waist[0] == pytest.approx(50)  # sqrt(16 / 64) of the whole


def test_inverted_blocks_have_a_belly_and_the_text_says_what_else_a_part_has():
    stages = (
        Stage("inverted", 2, 16, expansion=4, stride=2, squeeze_excitation=4),
        Stage("bottleneck", 1, 64, reduction=2, group_width=1),
        Stage("bottleneck", 1, 64, group_width=8),
    )
    frame = diagram_frame(Architecture(Stem(16), stages, head_width=128), 32)
    _, inverted, depthwise, grouped, head = draw_network(frame, "one", "Trial 1", 64).parts
    outer, inner = (lambda xs: (xs[-3] - xs[2], xs[-1] - xs[0]))(sorted(x for x, _ in corners(inverted.shapes[0])))
    assert (outer, inner) == (pytest.approx(50), pytest.approx(100))
    assert inverted.lines[1][1] == "expansion 4, gates through 4, stride 2"
    assert depthwise.lines[1][1] == "32 inner channels, depthwise"
    assert grouped.lines[1][1] == "groups of 8"
    assert head.lines[0][1] == "1\N{MULTIPLICATION SIGN}1 convolution to 128 channels"


def test_a_single_inverted_block_expands_what_it_receives():
    stages = Stage("inverted", 1, 32), Stage("inverted", 2, 48)
    frame = diagram_frame(Architecture(Stem(16), stages), 32)
    assert frame["inner_width"].tolist()[1:3] == [6 * 16, 6 * 48]


def test_parts_stand_under_one_another_without_overlap():
    picture = draw_network(diagram_frame(NETWORK, 32), "one", "Trial 1", 64)
    ends = []
    for part in picture.parts:
        heights = [y for shape in part.shapes for _, y in corners(shape)]
        text = [part.title[0] - 12, *(y for y, _ in part.lines)]
        ends.append((min(*heights, *text), max(*heights, *text)))
    assert all(above[1] < below[0] for above, below in pairwise(ends))
    assert ends[-1][1] < picture.height


def test_the_description_says_what_is_drawn():
    picture = draw_network(diagram_frame(NETWORK, 32), "one", "Trial 1, 90%", 64)
    assert picture.title.startswith("Trial 1, 90%")
    assert "Stage 2: 40 \N{MULTIPLICATION SIGN} bottleneck: 64 channels" in picture.description
    assert "Head: average pooling, linear layer, 10 classes" in picture.description
