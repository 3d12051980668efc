"""certificate.json: what an export is said to be, and the SHA-256 of every file of it. It is sealed by its own hash."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from search.errors import StorageError, VerificationError
from search.files import StudyFiles, open_regular, why
from search.study.plan import Plan
from search.study.trained import TrainedRun, is_limited
from search.writing import write_atomically

NAME = "certificate.json"
MAX_BYTES = 2**22  # of the certificate itself
MAX_FILES = 64
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CertifiedFile(_Part):
    """The size of a file and its SHA-256 in hexadecimal."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Certificate(_Part):
    """What an export is said to be.

    Attributes:
        format: of the certificate itself.
        budget: the most parameters of a network of the study.
        is_limited: whether this network is held to budget and limits; those made by hand are references.
        limits: the study's further limits, as `search.space.limits` writes them.
        teachers: who taught it, by name; left out of the text where nobody did, as in certificates of older versions.
        time: when its training ended.
        files: every file but the certificate.
        sha256: of the text of all other values.
    """

    format: int = Field(default=1, ge=1, le=1)
    network: str
    study: str
    params: int = Field(ge=1)
    macs: int = Field(ge=1)
    budget: int = Field(ge=1)
    is_limited: bool
    limits: list[str]
    data: str
    fingerprint: str
    image_size: int = Field(ge=1)
    test_accuracy: float = Field(ge=0, le=1)
    recipe: str
    epochs: int
    seed: int
    teachers: list[str] = []
    time: str
    versions: dict[str, str]
    files: dict[Annotated[str, Field(pattern=f"^{FILE_NAME}$")], CertifiedFile] = Field(max_length=MAX_FILES)
    sha256: str = ""

    def sealed(self) -> Self:
        return self.model_copy(update={"sha256": hashlib.sha256(_text(self._values).encode()).hexdigest()})

    def to_text(self) -> str:
        return _text(self._values | {"sha256": self.sha256})

    @property
    def _values(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"sha256"} if self.teachers else {"sha256", "teachers"})


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1) + "\n"


def write_certificate(folder: Path, names: Iterable[str], files: StudyFiles, plan: Plan, run: TrainedRun) -> Path:
    """Write the certificate of the files of these names in a folder, and return its path.

    Raises:
        StorageError: a file cannot be read, or the certificate not written.
    """
    path = folder / NAME
    write_atomically(path, certify_files({name: folder / name for name in names}, files, plan, run).to_text())
    return path


def certify_files(contents: Mapping[str, Path | bytes], files: StudyFiles, plan: Plan, run: TrainedRun) -> Certificate:
    """The sealed certificate of a network's files, or of their contents. It holds no time but the training's: the same
    export has the same one.

    Raises:
        StorageError: a file cannot be read.
    """
    question, view = plan.question, run.view
    versions = run.values.get("versions")
    assert view.test_accuracy is not None
    return Certificate(
        network=run.name,
        study=files.name,
        params=view.params,
        macs=view.macs,
        budget=question.all_limits.max_params,
        is_limited=is_limited(view.identity),
        limits=list(question.limits),
        data=question.data.name,
        fingerprint=question.data.fingerprint,
        image_size=question.data.image_size,
        test_accuracy=view.test_accuracy,
        recipe=view.recipe,
        epochs=view.epochs,
        seed=view.seed,
        teachers=[teacher.name for teacher in view.teaching.teachers] if view.teaching is not None else [],
        time=view.time,
        versions={str(name): str(value) for name, value in versions.items()} if isinstance(versions, dict) else {},
        files={name: _certified(content) for name, content in contents.items()},
    ).sealed()


def read_certificate(path: Path) -> Certificate:
    """The certificate of a file that may come from anyone.

    Raises:
        VerificationError: it is damaged, or no certificate; the message is the end of a line that names the file.
    """
    with open_regular(path, MAX_BYTES) as file:
        content = file.read(MAX_BYTES)
    try:
        certificate = Certificate.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError):
        raise VerificationError("damaged, or no certificate of nas export") from None
    if certificate.sealed().to_text().encode() != content:
        raise VerificationError("damaged: its values are not those that it was sealed with")
    return certificate


def _certified(content: Path | bytes) -> CertifiedFile:
    if isinstance(content, bytes):
        return CertifiedFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    try:
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return CertifiedFile(bytes=file.tell(), sha256=digest)
    except OSError as error:
        raise StorageError(f"{content}: cannot be read ({why(error)})") from None
