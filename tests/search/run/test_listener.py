from search.protocol import Resumed
from search.run.listener import notes_of
from search.workers.crew import Restarted


def test_a_job_that_is_resumed_or_restarted_is_a_line_each_and_so_is_every_refused_checkpoint() -> None:
    assert notes_of(Resumed(3, ())) == ["goes on after epoch 3"]
    assert notes_of(Resumed(1, ("a is damaged", "b is damaged"))) == [
        "a is damaged",
        "b is damaged",
        "goes on after epoch 1",
    ]
    assert notes_of(Restarted("worker ended by signal 9")) == ["worker ended by signal 9; goes on in a new process"]


def test_a_job_whose_checkpoints_are_all_refused_begins_again() -> None:
    assert notes_of(Resumed(0, ("a is damaged",))) == ["a is damaged", "begins again"]
