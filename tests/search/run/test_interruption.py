"""A polite end on a signal: the first one asks, the second one leaves at once."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from search.errors import Interrupted, NasError, OutputError
from search.run.interruption import Interruption

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR2, 143), (signal.SIGHUP, 129)]


@pytest.fixture(autouse=True)
def before() -> Iterator[dict[int, object]]:
    """The handlers as they were, put back whatever a test does."""
    handlers = {number: signal.getsignal(number) for number, _ in SIGNALS}
    yield dict(handlers)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_nobody_has_asked_at_first() -> None:
    with Interruption() as interruption:
        assert not interruption()
        interruption.require_none()


@pytest.mark.parametrize(("sent", "status"), SIGNALS)
def test_the_first_signal_asks_and_interrupts_nothing(sent: signal.Signals, status: int) -> None:
    with Interruption() as interruption:
        send(sent)
        done = "what comes after it"
    assert interruption() and done
    with pytest.raises(Interrupted) as caught:
        interruption.require_none()
    assert str(caught.value) == f"ended by {sent.name}; the same command goes on from here"
    assert caught.value.exit_status == status
    assert isinstance(caught.value, NasError)


def test_under_nohup_a_terminal_that_has_gone_ends_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruption() as interruption:
        send(signal.SIGHUP)
        assert not interruption()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_an_output_that_is_closed_asks_too_and_what_came_first_is_the_reason() -> None:
    with Interruption() as interruption:
        interruption.output_closed(OutputError(BrokenPipeError(32, "Broken pipe")))
        interruption.output_closed(OutputError(OSError(28, "No space left on device")))
    assert interruption()
    with pytest.raises(Interrupted, match=r"^nobody reads its output; the same command goes on from here$") as caught:
        interruption.require_none()
    assert caught.value.exit_status == 141


@pytest.mark.parametrize(("first", "_status"), SIGNALS)
@pytest.mark.parametrize(("second", "status"), SIGNALS)
def test_the_second_signal_leaves_where_the_program_is_with_its_own_status(
    first: signal.Signals, _status: int, second: signal.Signals, status: int
) -> None:
    reached = []
    with pytest.raises(Interrupted) as caught, Interruption():
        send(first)
        reached.append("after the first")
        send(second)
        reached.append("after the second")
    assert reached == ["after the first"]
    assert caught.value.exit_status == status


def test_the_second_signal_ends_a_wait() -> None:
    with Interruption() as interruption:
        send(signal.SIGTERM)
        timer = threading.Timer(0.2, send, [signal.SIGTERM])
        timer.start()
        started = time.monotonic()
        with pytest.raises(Interrupted):
            time.sleep(30)
        timer.join()
    assert time.monotonic() - started < 10
    assert interruption()


def test_the_first_signal_does_not_break_a_system_call_off() -> None:
    """Python goes on with it (PEP 475): a database that is being written notices nothing."""
    with Interruption() as interruption:
        reader, writer = os.pipe()
        timers = [threading.Timer(0.1, send, [signal.SIGINT]), threading.Timer(0.3, os.write, [writer, b"x"])]
        for timer in timers:
            timer.start()
        assert os.read(reader, 1) == b"x"
        for timer in timers:
            timer.join()
        os.close(reader)
        os.close(writer)
        assert interruption()


@pytest.mark.parametrize("problem", [None, ValueError, Interrupted("second", 130)])
def test_the_handlers_are_put_back_however_the_block_ends(
    before: dict[int, object], problem: type[Exception] | Exception | None
) -> None:
    try:
        with Interruption():
            assert all(signal.getsignal(number) != before[number] for number, _ in SIGNALS)
            if problem is not None:
                raise problem
    except (ValueError, Interrupted):
        assert problem is not None
    assert {number: signal.getsignal(number) for number, _ in SIGNALS} == before


def test_a_signal_after_the_block_is_no_business_of_it() -> None:
    heard: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, _: heard.append(number))
    with Interruption() as interruption:
        pass
    send(signal.SIGUSR2)
    assert heard == [signal.SIGUSR2]
    assert not interruption()
