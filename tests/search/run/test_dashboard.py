"""The dashboard beside a study: it shows, and changes nothing."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState

from search.errors import InputError, StorageError, StudyError
from search.files import StudyFiles
from search.run.dashboard import HOST, serving
from search.study.database import open_for_reading, storage_errors

Search = Callable[..., Any]
Ask = Callable[..., tuple[int, Any]]

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")


@contextmanager
def served(files: StudyFiles, url: str | None = None) -> Iterator[Ask]:
    """Serves a study on a free port, and yields a function that asks it: status and content."""
    with serving(files, url, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def ask(path: str, method: str = "GET") -> tuple[int, Any]:
            connection = HTTPConnection(HOST, server.server_port, timeout=60)
            connection.request(method, path)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, json.loads(content) if "json" in answer.headers["Content-Type"] else content

        try:
            yield ask
        finally:
            server.shutdown()
            thread.join()


def num_trials(ask: Ask) -> int:
    status, study = ask("/api/studies/1?after=0")
    assert status == 200
    return len(study["trials"])


def test_it_shows_the_study_and_its_trials(search: Search, files: StudyFiles) -> None:
    search(5)
    with served(files) as ask:
        assert ask("/api/studies")[1]["study_summaries"][0]["study_name"] == "toy"
        assert num_trials(ask) == 5
        status, page = ask("/dashboard")
        assert status == 200 and b"<html" in page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/studies/1"),
        ("POST", "/api/studies"),
        ("POST", "/api/studies/1/rename"),
        ("PUT", "/api/studies/1/note"),
        ("POST", "/api/trials/1/tell"),
    ],
)
def test_no_request_changes_anything(search: Search, files: StudyFiles, method: str, path: str) -> None:
    search(2)
    with served(files) as ask:
        status, answer = ask(path, method)
        assert (status, answer) == (405, {"reason": "this dashboard is read-only"})
        assert num_trials(ask) == 2


def test_the_database_itself_refuses_to_be_written_by_a_reader(search: Search, files: StudyFiles) -> None:
    search(1)
    with (
        pytest.raises(StorageError, match="readonly database"),
        storage_errors(files),
        open_for_reading(files, None) as storage,
    ):
        storage.create_new_study([StudyDirection.MAXIMIZE], "another")


def test_a_search_goes_on_undisturbed_and_is_seen_to_grow(search: Search, files: StudyFiles) -> None:
    search(2)
    seen: list[int] = []
    over = threading.Event()
    with served(files) as ask:

        def look() -> None:
            while not over.wait(0.02):
                seen.append(num_trials(ask))

        watcher = threading.Thread(target=look)
        watcher.start()
        found = search(20, num_workers=2)
        over.set()
        watcher.join()
    assert [trial.number for trial in found.of(TrialState.COMPLETE)] == list(range(20))
    assert len(found.trials) == 20
    assert seen == sorted(seen) and seen[0] >= 2


def test_a_database_elsewhere_is_shown_too(search: Search, files: StudyFiles) -> None:
    url = f"sqlite:///{files.studies.parent}/elsewhere.db"
    search(3, storage=url)
    with served(files, url) as ask:
        assert num_trials(ask) == 3
        assert ask("/api/studies/1", "DELETE")[0] == 405


def test_a_study_in_postgresql_is_shown_by_sessions_that_cannot_write(
    search: Search, files: StudyFiles, postgres: Any
) -> None:
    url = postgres.new_url()
    search(3, storage=url)
    with served(files, url) as ask:
        assert num_trials(ask) == 3
        assert ask("/api/studies/1", "DELETE")[0] == 405
        assert num_trials(ask) == 3
    with (
        pytest.raises(StorageError, match="in a read-only transaction"),
        storage_errors(files),
        open_for_reading(files, url) as storage,
    ):
        storage.delete_study(1)


def test_a_port_that_is_taken_is_told(search: Search, files: StudyFiles) -> None:
    search(1)
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port = {port}: cannot be listened on"), serving(files, None, port):
            pass


def test_a_study_without_a_trial_is_told(files: StudyFiles) -> None:
    with pytest.raises(StudyError, match="'toy': has no trial yet"), serving(files, None, 0):
        pass


def test_a_missing_extra_is_named(files: StudyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    with pytest.raises(InputError, match=r"pip install 'budget-nas\[dashboard\]'"), serving(files, None, 0):
        pass
