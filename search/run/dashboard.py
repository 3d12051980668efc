"""optuna-dashboard over a study, for reading alone.

The dashboard can rename and delete studies, end trials and write notes. Here it gets a storage that the database itself
opens read-only, and only GET and HEAD requests reach it. Such a reader sees a search go on and cannot disturb it: under
write-ahead logging, as in PostgreSQL, it holds no lock that a writer waits for.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from search.errors import InputError, StudyError
from search.files import StudyFiles
from search.study.database import open_for_reading, storage_errors

HOST = "127.0.0.1"
READING = ("GET", "HEAD")

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def serving(files: StudyFiles, url: str | None, port: int) -> Iterator[WSGIServer]:
    """A server of the dashboard that only this machine can reach; `serve_forever` runs it. Port 0 is any free one.

    Args:
        url: of the study's database, where it is not the study's own file.

    Raises:
        InputError: optuna-dashboard is not installed, the port is taken, or the URL is invalid.
        StudyError: the study has no trial yet.
        StorageError: the database cannot be read.
    """
    try:
        from optuna_dashboard import wsgi
    except ModuleNotFoundError:
        raise InputError(
            "dashboard: needs optuna-dashboard; install it by pip install 'budget-nas[dashboard]'"
        ) from None
    if url is None and not files.database.is_file():
        raise StudyError(f"study = {files.name!r}: has no trial yet, so there is nothing to show")
    with ExitStack() as stack:
        with storage_errors(files):
            storage = stack.enter_context(open_for_reading(files, url))
        yield stack.enter_context(_server(read_only(wsgi(storage)), port))


def read_only(app: App) -> App:
    """The application without what could change anything."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READING:
            return app(environ, start_response)
        start_response("405 Method Not Allowed", [("Allow", ", ".join(READING)), ("Content-Type", "application/json")])
        return [b'{"reason": "this dashboard is read-only"}']

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    """Answers requests in parallel: a page makes many at once."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def _server(app: App, port: int) -> WSGIServer:
    try:
        return make_server(HOST, port, app, server_class=_Server, handler_class=_QuietHandler)
    except (OSError, OverflowError) as error:
        raise InputError(f"port = {port}: cannot be listened on ({error}); give another one with --port") from None
