"""Verification: whether what was exported is what it says it is, counted in several ways and run in several ways.

What is verified may come from anyone. It is read as data, within bounds, and nothing outside of it is. Its model.py is
a program: it is run only where it is the text that this version writes for the same values, or where a person asks.
"""

import filecmp
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from models.int8 import count_int8_bytes
from search.data.cache import scratch_folder
from search.errors import InputError, NasError, TrainingError, VerificationError
from search.files import StudyFiles, open_regular
from search.identity import Identity
from search.protocol import Message, Setup
from search.quantities import brief
from search.run.bundle import unpack
from search.run.export_certificate import NAME as CERTIFICATE
from search.run.export_certificate import Certificate, read_certificate
from search.run.exported_program import normalisation, read_program
from search.space.limits import parse_limits
from search.study.plan import Plan
from search.study.trained import is_limited
from search.study.weights import certify_saved, count_saved, read_header
from search.trained_network import FLOAT_FILE, INT8_FILE, Check, Verified, Verify
from search.workers.local import ask

MAX_BYTES = 2**32  # of one file
MAX_TEXT = 2**24
MAX_ENTRIES = 10_000  # of a folder
WEIGHTS = ("weights.safetensors", "model.safetensors")
GRAPHS = (FLOAT_FILE, INT8_FILE)
_READ = ("architecture.json", "model.py", WEIGHTS[0])  # for any other file, as far as they are there
CARDS = ("MODEL_CARD.md", "README.md")


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks, in order.

    Attributes:
        path: what was verified.
    """

    path: Path
    checks: tuple[Check, ...]

    @property
    def is_verified(self) -> bool:
        return self.disagreement is None

    @property
    def disagreement(self) -> str | None:
        """The first, in one line; None if there is none."""
        for check in self.checks:
            if check.outcome == "differs":
                rest = "" if check.expected is None else f"; must be {_words(check.expected)}"
                return f"{check.file}: {check.what}: {_words(check.found)}{rest}"
        return None


def verify(path: Path, may_run: bool = False) -> Verification:
    """The verification of an export's folder, its bundle, one of its files, or the folder of a study's run.

    Of one file, what lies beside it is read as far as it is needed.

    Args:
        may_run: run a model.py that is not the text that this version writes.

    Raises:
        InputError: there is nothing at the path that could be verified.
        StorageError: the scratch folder cannot be written.
    """
    if path.is_dir():
        return Verification(path, _checks(path, None, may_run))
    if not path.is_file():
        raise InputError(f"verify {path}: " + ("is no ordinary file" if path.exists() else "there is no such file"))
    if path.suffix == ".zip":
        with scratch_folder() as folder:
            try:
                unpack(path, folder)
            except VerificationError as error:
                return Verification(path, (Check(path.name, "bundle", str(error), None, "differs"),))
            if not (folder / CERTIFICATE).is_file():
                return Verification(path, (Check(path.name, "bundle", f"holds no {CERTIFICATE}", None, "differs"),))
            return Verification(path, _checks(folder, None, may_run, is_bundle=True))
    if path.name not in (*WEIGHTS, *GRAPHS):
        kinds = ", ".join((*WEIGHTS, *GRAPHS))
        raise InputError(f"verify {path}: must be a folder, a bundle (.zip), or one of {kinds}")
    return Verification(path, _checks(path.parent, path.name, may_run))


def _checks(folder: Path, only: str | None, may_run: bool, is_bundle: bool = False) -> tuple[Check, ...]:
    return tuple(_Verifier(folder, only, may_run, is_bundle).checks())


class _Stopped(Exception):
    """What follows depends on what has failed."""


@dataclass(frozen=True, slots=True)
class _Images:
    """What a network takes: numbers to normalise by, empty where they are not known, and a size in pixels."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int | None = None


class _Verifier:
    """Verifies a folder, or one file of it. A bundle's holds nothing but what its certificate names."""

    def __init__(self, folder: Path, only: str | None, may_run: bool, is_bundle: bool) -> None:
        self._folder, self._only, self._may_run, self._is_bundle = folder, only, may_run, is_bundle
        self._done: list[Check] = []
        self._certificate: Certificate | None = None

    def checks(self) -> list[Check]:
        names = self._names()
        if "architecture.json" not in names and CERTIFICATE not in names:
            raise InputError(f"verify {self._folder}: is no export and no run of nas; it holds no architecture.json")
        try:
            self._read_certificate(names)
            self._hash(names)
            architecture = self._architecture()
            params = self._count(architecture, names)
            self._compare_result(architecture, params, names)
            self._compare_cards(architecture, params, names)
            images = self._compare_program(architecture, names)
            self._build(architecture, names, images)
        except _Stopped:
            pass
        return self._done

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MAX_ENTRIES + 1), strict=False)]
        if len(names) > MAX_ENTRIES:
            raise InputError(f"verify {self._folder}: holds over {MAX_ENTRIES:,} entries; must be an export's folder")
        return sorted(names)

    def _is_meant(self, name: str) -> bool:
        """Whether a file is to be verified itself, and not only read for another."""
        return self._only in (None, name)

    def _add(
        self, file: str, what: str, found: int | float | str, expected: int | float | str | None, agrees: bool
    ) -> None:
        self._done.append(Check(file, what, found, expected, "agrees" if agrees else "differs"))

    def _leave_out(self, file: str, what: str, why_not: str) -> None:
        self._done.append(Check(file, what, why_not, None, "left out"))

    @contextmanager
    def _reading(self, file: str, what: str) -> Iterator[None]:
        """Of a block that reads a file: what is wrong with it is a check that has failed, the last one."""
        try:
            yield
        except NasError as error:
            path = str(self._folder / file)
            self._add(file, what, str(error).removeprefix(f"{path}: ").replace(path, "it"), None, False)
            raise _Stopped from None

    def _text(self, name: str) -> str:
        with open_regular(self._folder / name, MAX_TEXT) as file:
            content = file.read()
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise VerificationError("not a text") from None

    def _read_certificate(self, names: Sequence[str]) -> None:
        if CERTIFICATE not in names:
            self._leave_out(CERTIFICATE, "hashes", "there is none; files are compared with each other alone")
            return
        with self._reading(CERTIFICATE, "seal"):
            self._certificate = read_certificate(self._folder / CERTIFICATE)
        self._add(CERTIFICATE, "seal", "whole", "whole", True)

    def _hash(self, names: Sequence[str]) -> None:
        """Compare every file with the certificate, and name those of which it says nothing."""
        if self._certificate is None:
            return
        for name, certified in self._certificate.files.items():
            if not self._is_meant(name) and (name not in _READ or name not in names):
                continue
            with self._reading(name, "SHA-256"), open_regular(self._folder / name, MAX_BYTES) as file:
                size = os.fstat(file.fileno()).st_size
                if size != certified.bytes:
                    raise VerificationError(f"{size:,} bytes; must be {certified.bytes:,}")
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._add(name, "SHA-256", digest, certified.sha256, digest == certified.sha256)
            if digest != certified.sha256:
                raise _Stopped
        for name in names:
            if name not in self._certificate.files and name != CERTIFICATE and self._is_meant(name):
                outcome: Literal["differs", "left out"] = "differs" if self._is_bundle else "left out"
                self._done.append(Check(name, "SHA-256", "the certificate says nothing of it", None, outcome))

    def _architecture(self) -> Architecture:
        try:
            with self._reading("architecture.json", "architecture"):
                return Architecture.from_json(self._text("architecture.json"))
        except (ArchitectureError, ValueError) as error:
            self._add("architecture.json", "architecture", brief(error), None, False)
            raise _Stopped from None

    def _count(self, architecture: Architecture, names: Sequence[str]) -> int:
        """The parameters by arithmetic, beside the certificate, its budget and the stored tensors."""
        params, certificate = count_parameters(architecture), self._certificate
        if certificate is None:
            self._add("architecture.json", "parameters by arithmetic", params, None, True)
        else:
            said = certificate.params
            self._add("architecture.json", "parameters by arithmetic", params, said, params == said)
            self._budget(CERTIFICATE, params, certificate.budget, certificate.is_limited)
            with self._reading("architecture.json", "multiply-accumulates"), _architecture_errors():
                macs = count_macs(architecture, certificate.image_size)
                self._add("architecture.json", "multiply-accumulates", macs, certificate.macs, macs == certificate.macs)
                limits = parse_limits(certificate.limits, certificate.budget)
                if limits.macs is not None and certificate.is_limited:
                    most = f"at most {limits.macs:,}"
                    self._add(CERTIFICATE, "limit of multiply-accumulates", macs, most, macs <= limits.macs)
                if limits.max_int8_bytes is not None and INT8_FILE in certificate.files and certificate.is_limited:
                    size, most = count_int8_bytes(architecture), f"at most {limits.max_int8_bytes:,}"
                    self._add(CERTIFICATE, f"limit of bytes of {INT8_FILE}", size, most, size <= limits.max_int8_bytes)
        for name in WEIGHTS:
            if name in names and self._is_meant(name):
                with self._reading(name, "parameters in the stored tensors"):
                    with open_regular(self._folder / name, MAX_BYTES):
                        pass
                    stored = count_saved(read_header(self._folder / name))
                    self._add(name, "parameters in the stored tensors", stored, params, stored == params)
                if stored == params:
                    expected = "those of the architecture"
                    with self._reading(name, "names and shapes of tensors"):
                        certify_saved(self._folder / name, architecture, None)
                        self._add(name, "names and shapes of tensors", expected, expected, True)
        if self._only is None and set(WEIGHTS) <= set(names):
            same = filecmp.cmp(self._folder / WEIGHTS[0], self._folder / WEIGHTS[1], shallow=False)
            expected = f"that of {WEIGHTS[0]}"
            self._add(WEIGHTS[1], "content", expected if same else "another", expected, same)
        if self._only is None and WEIGHTS[0] not in names:
            self._add(WEIGHTS[0], "parameters in the stored tensors", "is gone", params, False)
        if any(check.outcome == "differs" for check in self._done):
            raise _Stopped  # nothing of another size than it says is built or run
        return params

    def _budget(self, file: str, params: int, budget: int, is_limited: bool) -> None:
        if is_limited:
            self._add(file, "budget", params, f"at most {budget:,}", params <= budget)
        else:
            self._leave_out(file, "budget", f"{budget:,}; a reference, made by hand, is not held to it")

    def _compare_result(self, architecture: Architecture, params: int, names: Sequence[str]) -> None:
        """Compare a study's run with its result, and with the plan of the study it lies in."""
        if "result.json" not in names or self._only not in (None, WEIGHTS[0]):
            return
        with self._reading("result.json", "result"):
            values = _object(self._text("result.json"))
            self._compare_values("result.json", values.get("params"), values, architecture, params)
            study = next(
                (parent for parent in self._folder.resolve().parents if (parent / "plan.yaml").is_file()), None
            )
            if study is None:
                self._leave_out("plan.yaml", "budget", "the run lies in no study")
                return
            budget = Plan.load(StudyFiles(study.parent, study.name)).question.all_limits.max_params
            try:
                identity = Identity.parse(str(values.get("label")))
            except ValueError:
                raise VerificationError("names no network") from None
            self._budget("plan.yaml", params, budget, is_limited(identity))

    def _compare_values(
        self, file: str, said: object, values: dict[str, Any], architecture: Architecture, params: int
    ) -> None:
        self._add(file, "parameters", said if isinstance(said, int) else brief(said), params, said == params)
        same = values.get("architecture") == architecture.to_dict()
        self._add(file, "architecture", "the same" if same else "another", "the same", same)

    def _compare_cards(self, architecture: Architecture, params: int, names: Sequence[str]) -> None:
        """Compare the numbers of what people and programs read."""
        if self._only is not None:
            return
        for name in CARDS:
            if name not in names:
                continue
            with self._reading(name, "parameters"):
                text = self._text(name)
            said = re.search(r"^\| parameters \| ([0-9,]{1,30})", text, re.MULTILINE)
            if said is None:
                self._leave_out(name, "parameters", "it does not say")
            else:
                number = int("0" + said[1].replace(",", ""))
                self._add(name, "parameters", number, params, number == params)
            own = re.search(r"those of the first seed, have (\d+\.\d+%)", text)
            if own is not None and self._certificate is not None:
                accuracy = f"{self._certificate.test_accuracy:.2%}"
                self._add(name, "test accuracy", own[1], accuracy, own[1] == accuracy)
        if "config.json" in names:
            with self._reading("config.json", "parameters"):
                values = _object(self._text("config.json"))
            self._compare_values("config.json", values.get("num_parameters"), values, architecture, params)

    def _compare_program(self, architecture: Architecture, names: Sequence[str]) -> _Images:
        """What model.py says of images; it is compared with what this version writes for its values."""
        if "model.py" not in names:
            return self._images_of_run(architecture, names)
        with self._reading("model.py", "program"):
            text = self._text("model.py")
        values = read_program(text, architecture.in_channels)
        images = _Images(values.mean, values.std, values.image_size)
        if not self._is_meant("model.py"):
            return images
        expected = "what this version of nas writes"
        if values.written(architecture) == text:
            self._add("model.py", "program", expected, expected, True)
            params = count_parameters(architecture)
            self._add("model.py", "parameters", values.params or "not said", params, values.params == params)
        elif self._may_run:
            self._leave_out("model.py", "program", "not what this version of nas writes; run, as asked for")
        else:
            what = "another program; read it, and verify it with --run if it may be run"
            self._add("model.py", "program", what, expected, False)
            raise _Stopped
        return images

    def _images_of_run(self, architecture: Architecture, names: Sequence[str]) -> _Images:
        """What the result of a study's run says of images, which was read before."""
        if "result.json" not in names:
            return _Images()
        with self._reading("result.json", "result"):
            values = _object(self._text("result.json"))
        return _Images(*normalisation(values.get("mean"), values.get("std"), architecture.in_channels))

    def _build(self, architecture: Architecture, names: Sequence[str], images: _Images) -> None:
        """Rebuild the network in a worker, and compare with it what can be counted or run."""
        if any(check.outcome == "differs" for check in self._done):
            return
        weights = next((name for name in (self._only, *WEIGHTS) if name in names and name in WEIGHTS), None)
        graphs = [name for name in GRAPHS if name in names and self._is_meant(name)]
        for name in (weights, *graphs):
            if name is not None:
                with self._reading(name, "file"), open_regular(self._folder / name, MAX_BYTES):
                    pass
        size = self._certificate.image_size if self._certificate is not None else images.size
        has_program = "model.py" in names and WEIGHTS[0] in names and self._is_meant("model.py")
        folder = self._folder.absolute()
        task = Verify(
            architecture,
            None if weights is None else folder / weights,
            images.mean,
            images.std,
            size or 32,
            folder / "model.py" if has_program else None,
            tuple(folder / name for name in graphs),
        )
        setup = Setup(None, 0, "cpu", len(os.sched_getaffinity(0)))
        try:
            answer: Message = ask(setup, task, Path(os.devnull))
        except TrainingError as error:
            self._add(weights or "architecture.json", "network", brief(error), "one that can be built and run", False)
            return
        assert isinstance(answer, Verified)
        self._done += answer.checks


@contextmanager
def _architecture_errors() -> Iterator[None]:
    try:
        yield
    except ArchitectureError as error:
        raise VerificationError(str(error)) from None


def _object(text: str) -> dict[str, Any]:
    """
    Raises:
        VerificationError: the text is no JSON object.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise VerificationError("no JSON object")
    return values


def _words(value: int | float | str) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else value
