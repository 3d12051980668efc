"""Weights & Biases: a run for each training in the group of its study, and one for the study itself.

Its files are in studies/<study>/wandb/. The project is WANDB_PROJECT, or nas. Offline, by `wandb:offline` or
WANDB_MODE=offline, no network is used; `wandb sync` uploads the runs later.
"""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.errors import InputError
from search.tracking.tracker import Opening, Study, Values, is_missing

if TYPE_CHECKING:
    import wandb

PROJECT = "nas"
START_SECONDS = 30  # for a server to answer

_FAILED = ("failed", "interrupted")


def prepare_wandb(offline: bool = False) -> Opening:
    """
    Raises:
        InputError: wandb is not installed, or has no key for a server that it is to use.
    """
    os.environ.setdefault("WANDB_SILENT", "true")  # read at the import, as is the next
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError:
        raise is_missing("wandb", "wandb") from None
    if not offline and os.environ.get("WANDB_MODE", "online") in ("online", "shared"):
        try:
            has_key = wandb.login(prompt=False, verify=False)  # which would ask on a terminal
        except Exception:
            has_key = False
        if not has_key:
            rule = "run `wandb login` or set WANDB_API_KEY, or keep runs here by --log wandb:offline"
            raise InputError(f"log = wandb: not logged in; {rule}")

    return Opening(partial(WandbTracker, mode="offline") if offline else WandbTracker)


class WandbTracker:
    """Has all running trainings open at once.

    Raises:
        wandb.Error: the server cannot be reached.
    """

    def __init__(self, study: Study, mode: Literal["offline"] | None = None) -> None:
        self._study = study
        self._mode = mode
        self._runs: dict[str, wandb.Run] = {}
        study.files.folder.mkdir(parents=True, exist_ok=True)
        for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # else reports wait in the user's home folder
            os.environ.setdefault(variable, str(study.files.folder.resolve() / "wandb"))
        self.begin(study.run, study.parameters)

    def begin(self, run: str, parameters: Values) -> int:
        import wandb

        settings = wandb.Settings(
            console="off",
            silent=True,
            init_timeout=START_SECONDS,
            disable_code=True,
            disable_git=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        opened = self._runs[run] = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            group=self._study.name,
            job_type="study" if not self._runs else run.partition("-")[0],
            name=run,
            id=self._study.id_of(run),
            config=dict(parameters),
            dir=str(self._study.files.folder),
            mode=self._mode,
            resume="allow" if self._mode is None and os.environ.get("WANDB_MODE") != "offline" else None,
            reinit="create_new",
            settings=settings,
        )
        return int(dict(opened.summary).get("epoch", 0)) if opened.resumed else 0

    def measure(self, run: str, epoch: int, scalars: Mapping[str, float]) -> None:
        self._runs[run].log({**scalars, "epoch": epoch}, step=epoch)

    def end(self, run: str, state: str, values: Values) -> None:
        ended = self._runs.pop(run)
        ended.summary.update({f"final/{name}": value for name, value in {"state": state, **values}.items()})
        ended.finish(exit_code=int(state in _FAILED))

    def keep_report(self, page: Path) -> None:
        self._runs[self._study.run].log_artifact(str(page), name=f"report-{self._study.name}", type="report")

    def close(self) -> None:
        import wandb

        for run in reversed(self._runs.values()):
            run.finish()
        wandb.teardown()  # ends the process that it began beside this one
