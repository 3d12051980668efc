"""The process that owns torch and a device: tasks in, measurements out.

Started as `python -P -m search.training.worker FD`, where FD is the file descriptor of a socket to the coordinator.
"""

import os
import queue
import sys
import threading
import traceback
from multiprocessing.connection import Connection

from search.errors import NasError
from search.protocol import OPEN, PAUSE, STOP, Assignment, Failed, Noted, Setup
from search.quantities import brief
from search.training.predictor import Predictor
from search.training.trainer import Requests, Trainer


def main() -> None:
    """Perform tasks until the coordinator is gone."""
    connection = Connection(int(sys.argv[1]))
    setup: Setup = connection.recv()
    tasks: queue.SimpleQueue[Assignment] = queue.SimpleQueue()
    requests = Requests()

    def listen() -> None:
        while True:
            try:
                message = connection.recv()
            except (EOFError, OSError):
                os._exit(0)  # the coordinator is gone, however it ended: nobody wants the rest
            if message == STOP:
                requests.stop.set()
            elif message == PAUSE:
                requests.pause.set()
            elif message == OPEN:
                requests.open.set()
            else:
                # What was requested of the last job is over; whatever comes after this message concerns the new one.
                for event in (requests.stop, requests.pause, requests.open):
                    event.clear()
                tasks.put(message)

    def note(text: str) -> None:
        connection.send(Noted(text))

    threading.Thread(target=listen, daemon=True).start()
    try:
        performer = Trainer(setup, note) if setup.data is not None else Predictor(setup)
        ready = performer.ready()
    except Exception as error:
        connection.send(Failed(_reason(error)))
        return
    connection.send(ready)
    while True:
        task = tasks.get()
        try:
            answer = performer.perform(task, connection.send, requests)
        except Exception as error:  # nobody has foreseen it: a new process may do better
            answer = Failed(_reason(error), "worker")
        connection.send(answer)


def _reason(error: Exception) -> str:
    """An error in one line. The log has the traceback of one that no message was written for."""
    if isinstance(error, NasError):
        return str(error)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {brief(error)}"


if __name__ == "__main__":
    main()
