"""Places that are left out for a while, and longer each time."""

from search.workers.left_out import LONGEST, SHORTEST, LeftOut


def test_a_place_is_left_out_twice_as_long_each_time_up_to_an_hour() -> None:
    now = [0.0]
    left_out = LeftOut(lambda: now[0])
    for seconds in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        assert "node" not in left_out
        assert left_out.add("node") == seconds
        now[0] += seconds - 1
        assert "node" in left_out and left_out.now == {"node"}
        assert left_out.add("node") == seconds, "while it is left out, it stays so no longer"
        now[0] += 1
    assert (SHORTEST, LONGEST) == (60, 3600)


def test_places_are_left_out_each_for_itself_and_begin_again_where_a_worker_has_started() -> None:
    now = [0.0]
    left_out = LeftOut(lambda: now[0])
    left_out.add("one")
    now[0] += 60
    left_out.add("one")
    left_out.add("two")
    assert left_out.now == {"one", "two"}
    left_out.forgive("one")
    left_out.forgive("three")
    assert left_out.now == {"two"}
    assert left_out.add("one") == 60
