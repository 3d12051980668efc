"""Verification: whether what was exported is what it says it is, counted in several ways and run in several ways.

What is verified may come from anyone. It is read as data, within bounds, and nothing outside of it is. Its model.py is
a program: it is run only where it is the text that this version writes for the same values, or where a person asks.
"""

import filecmp
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.architecture import Architecture, ArchitectureError
from models.count import count_parameters
from search.data.cache import scratch_folder
from search.errors import InputError, TrainingError, VerificationError
from search.protocol import Message, Setup
from search.quantities import brief
from search.run.bundle import unpack
from search.run.claims import (
    Images,
    compare_cards,
    compare_certificate,
    compare_program,
    compare_result,
    images_of_run,
)
from search.run.export import HUB_WEIGHTS
from search.run.export_certificate import NAME as CERTIFICATE
from search.run.export_certificate import Certificate, read_certificate
from search.run.inspection import Inspection, Stopped
from search.study.weights import certify_saved, count_saved, read_header
from search.trained_network import FLOAT_FILE, INT8_FILE, Check, Verified, Verify
from search.workers.local import ask

WEIGHTS = ("weights.safetensors", HUB_WEIGHTS)
GRAPHS = (FLOAT_FILE, INT8_FILE)
_READ = ("architecture.json", "model.py", WEIGHTS[0])  # for any other file, as far as they are there


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
    inspection = Inspection(folder, only, is_bundle)
    if "architecture.json" not in inspection and CERTIFICATE not in inspection:
        raise InputError(f"verify {folder}: is no export and no run of nas; it holds no architecture.json")
    with suppress(Stopped):
        certificate = _read_certificate(inspection)
        if certificate is not None:
            _compare_hashes(inspection, certificate)
        architecture = _read_architecture(inspection)
        compare_certificate(inspection, certificate, architecture)
        _compare_weights(inspection, architecture)
        if inspection.has_failed:
            raise Stopped  # nothing of another size than it says is built or run
        if "result.json" in inspection and only in (None, WEIGHTS[0]):
            compare_result(inspection, architecture)
        if only is None:
            compare_cards(inspection, certificate, architecture)
        images = Images()
        if "model.py" in inspection:
            images = compare_program(inspection, architecture, may_run)
        elif "result.json" in inspection:
            images = images_of_run(inspection, architecture)
        if not inspection.has_failed:
            size = certificate.image_size if certificate is not None else images.size
            _rebuild(inspection, architecture, images, size or 32)
    return tuple(inspection.checks)


def _read_certificate(inspection: Inspection) -> Certificate | None:
    if CERTIFICATE not in inspection:
        inspection.leave_out(CERTIFICATE, "hashes", "there is none; files are compared with each other alone")
        return None
    with inspection.reading(CERTIFICATE, "seal"):
        certificate = read_certificate(inspection.folder / CERTIFICATE)
    inspection.add(CERTIFICATE, "seal", "whole", "whole", True)
    return certificate


def _compare_hashes(inspection: Inspection, certificate: Certificate) -> None:
    """Compare every file with the certificate, and name those of which it says nothing."""
    for name, certified in certificate.files.items():
        if not inspection.is_meant(name) and (name not in _READ or name not in inspection):
            continue
        with inspection.reading(name, "SHA-256"), inspection.open(name) as file:
            size = os.fstat(file.fileno()).st_size
            if size != certified.bytes:
                raise VerificationError(f"{size:,} bytes; must be {certified.bytes:,}")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        inspection.add(name, "SHA-256", digest, certified.sha256, digest == certified.sha256)
        if digest != certified.sha256:
            raise Stopped
    for name in inspection.names:
        if name not in certificate.files and name != CERTIFICATE and inspection.is_meant(name):
            outcome: Literal["differs", "left out"] = "differs" if inspection.is_bundle else "left out"
            what = "the certificate says nothing of it"
            inspection.checks.append(Check(brief(name), "SHA-256", what, None, outcome))


def _read_architecture(inspection: Inspection) -> Architecture:
    with inspection.reading("architecture.json", "architecture"):
        try:
            return Architecture.from_json(inspection.text("architecture.json"))
        except ArchitectureError as error:
            raise VerificationError(str(error)) from None


def _compare_weights(inspection: Inspection, architecture: Architecture) -> None:
    """Compare the stored tensors with those of the architecture, and the weights of both names with each other."""
    params, what = count_parameters(architecture), "parameters in the stored tensors"
    for name in WEIGHTS:
        if name not in inspection or not (inspection.is_meant(name) or name in _READ):
            continue
        path = inspection.folder / name
        with inspection.reading(name, what), inspection.open(name):
            stored = count_saved(read_header(path))
        inspection.add(name, what, stored, params, stored == params)
        if stored == params:
            expected = "those of the architecture"
            with inspection.reading(name, "names and shapes of tensors"):
                certify_saved(path, architecture, None)
            inspection.add(name, "names and shapes of tensors", expected, expected, True)
    if inspection.only is not None:
        return
    if WEIGHTS[0] not in inspection:
        inspection.add(WEIGHTS[0], what, "is gone", params, False)
    elif WEIGHTS[1] in inspection:
        same = filecmp.cmp(inspection.folder / WEIGHTS[0], inspection.folder / WEIGHTS[1], shallow=False)
        expected = f"that of {WEIGHTS[0]}"
        inspection.add(WEIGHTS[1], "content", expected if same else "another", expected, same)


def _rebuild(inspection: Inspection, architecture: Architecture, images: Images, image_size: int) -> None:
    """Rebuild the network in a worker, and compare with it what can be counted or run."""
    weights = next((name for name in (inspection.only, *WEIGHTS) if name in WEIGHTS and name in inspection), None)
    graphs = [name for name in GRAPHS if name in inspection and inspection.is_meant(name)]
    for name in (weights, *graphs):
        if name is not None:
            with inspection.reading(name, "file"), inspection.open(name):
                pass
    has_program = "model.py" in inspection and WEIGHTS[0] in inspection and inspection.is_meant("model.py")
    folder = inspection.folder.absolute()
    task = Verify(
        architecture,
        None if weights is None else folder / weights,
        images.mean,
        images.std,
        image_size,
        folder / "model.py" if has_program else None,
        tuple(folder / name for name in graphs),
    )
    setup = Setup(None, 0, "cpu", len(os.sched_getaffinity(0)))
    try:
        answer: Message = ask(setup, task, Path(os.devnull))
    except TrainingError as error:
        expected = "one that can be built and run"
        inspection.add(weights or "architecture.json", "network", brief(error), expected, False)
        return
    assert isinstance(answer, Verified)
    inspection.checks += answer.checks


def _words(value: int | float | str) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else value
