"""The process that owns torch and a device: tasks in, measurements out.

Started as `python -P -m search.training.worker FD`, where FD is the file descriptor of a socket to the coordinator.
"""

import os
import queue
import sys
import threading
from multiprocessing.connection import Connection

from search.errors import NasError
from search.protocol import OPEN, PAUSE, STOP, Assignment, Failed, Setup
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

    try:
        performer = Trainer(setup) if setup.data is not None else Predictor(setup)
    except NasError as error:
        connection.send(Failed(str(error)))
        return
    threading.Thread(target=listen, daemon=True).start()
    connection.send(performer.ready())
    while True:
        connection.send(performer.perform(tasks.get(), connection.send, requests))


if __name__ == "__main__":
    main()
