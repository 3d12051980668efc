"""What the files around a network say of it, beside what is counted: certificate, result, cards, config and program."""

import re
from dataclasses import dataclass
from typing import Any

from models.architecture import Architecture, ArchitectureError
from models.count import count_macs, count_parameters
from models.int8 import count_int8_bytes
from search.errors import VerificationError
from search.files import StudyFiles
from search.identity import Identity
from search.quantities import brief
from search.run.export_certificate import NAME as CERTIFICATE
from search.run.export_certificate import Certificate
from search.run.exported_program import normalisation, read_program
from search.run.inspection import Inspection, Stopped
from search.space.limits import parse_limits
from search.study.plan import Plan
from search.study.trained import is_limited
from search.trained_network import INT8_FILE

CARDS = ("MODEL_CARD.md", "README.md")


@dataclass(frozen=True, slots=True)
class Images:
    """What a network takes: numbers to normalise by, empty where they are not known, and a size in pixels."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int | None = None


def compare_certificate(inspection: Inspection, certificate: Certificate | None, architecture: Architecture) -> None:
    """Compare what a network costs with its certificate, and with the budget and the limits that stand there."""
    params, file = count_parameters(architecture), "architecture.json"
    if certificate is None:
        inspection.add(file, "parameters by arithmetic", params, None, True)
        return
    inspection.add(file, "parameters by arithmetic", params, certificate.params, params == certificate.params)
    _compare_budget(inspection, CERTIFICATE, params, certificate.budget, certificate.is_limited)
    with inspection.reading(file, "multiply-accumulates"):
        limits = parse_limits(certificate.limits, certificate.budget)
        try:
            macs = count_macs(architecture, certificate.image_size)
        except ArchitectureError as error:
            raise VerificationError(str(error)) from None
    inspection.add(file, "multiply-accumulates", macs, certificate.macs, macs == certificate.macs)
    if limits.macs is not None and certificate.is_limited:
        most = f"at most {limits.macs:,}"
        inspection.add(CERTIFICATE, "limit of multiply-accumulates", macs, most, macs <= limits.macs)
    if limits.max_int8_bytes is not None and INT8_FILE in certificate.files and certificate.is_limited:
        size, most = count_int8_bytes(architecture), f"at most {limits.max_int8_bytes:,}"
        inspection.add(CERTIFICATE, f"limit of bytes of {INT8_FILE}", size, most, size <= limits.max_int8_bytes)


def compare_result(inspection: Inspection, architecture: Architecture) -> None:
    """Compare a study's run with its result, and with the plan of the study it lies in."""
    with inspection.reading("result.json", "result"):
        values = inspection.values("result.json")
        _compare_values(inspection, "result.json", values.get("params"), values, architecture)
        parents = inspection.folder.resolve().parents
        study = next((parent for parent in parents if (parent / "plan.yaml").is_file()), None)
        if study is None:
            inspection.leave_out("plan.yaml", "budget", "the run lies in no study")
            return
        budget = Plan.load(StudyFiles(study.parent, study.name)).question.all_limits.max_params
        try:
            identity = Identity.parse(str(values.get("label")))
        except ValueError:
            raise VerificationError("names no network") from None
    _compare_budget(inspection, "plan.yaml", count_parameters(architecture), budget, is_limited(identity))


def _compare_budget(inspection: Inspection, file: str, params: int, budget: int, is_limited: bool) -> None:
    if is_limited:
        inspection.add(file, "budget", params, f"at most {budget:,}", params <= budget)
    else:
        inspection.leave_out(file, "budget", f"{budget:,}; a reference, made by hand, is not held to it")


def _compare_values(
    inspection: Inspection, file: str, said: object, values: dict[str, Any], architecture: Architecture
) -> None:
    params = count_parameters(architecture)
    inspection.add(file, "parameters", said if isinstance(said, int) else brief(said), params, said == params)
    same = values.get("architecture") == architecture.to_dict()
    inspection.add(file, "architecture", "the same" if same else "another", "the same", same)


def compare_cards(inspection: Inspection, certificate: Certificate | None, architecture: Architecture) -> None:
    """Compare the numbers of what people and programs read."""
    params = count_parameters(architecture)
    for name in CARDS:
        if name not in inspection:
            continue
        with inspection.reading(name, "parameters"):
            text = inspection.text(name)
        said = re.search(r"^\| parameters \| ([0-9,]{1,30})", text, re.MULTILINE)
        if said is None:
            inspection.leave_out(name, "parameters", "it does not say")
        else:
            number = int("0" + said[1].replace(",", ""))
            inspection.add(name, "parameters", number, params, number == params)
        own = re.search(r"those of the first seed, have (\d+\.\d+%)", text)
        if own is not None and certificate is not None:
            accuracy = f"{certificate.test_accuracy:.2%}"
            inspection.add(name, "test accuracy", own[1], accuracy, own[1] == accuracy)
    if "config.json" in inspection:
        with inspection.reading("config.json", "parameters"):
            values = inspection.values("config.json")
        _compare_values(inspection, "config.json", values.get("num_parameters"), values, architecture)


def compare_program(inspection: Inspection, architecture: Architecture, may_run: bool) -> Images:
    """What model.py says of images; it is compared with what this version writes for its values.

    Raises:
        Stopped: it is another program, which may not be run.
    """
    with inspection.reading("model.py", "program"):
        text = inspection.text("model.py")
    values = read_program(text, architecture.in_channels)
    if inspection.is_meant("model.py"):
        expected = "what this version of nas writes"
        if values.written(architecture) == text:
            inspection.add("model.py", "program", expected, expected, True)
            params = count_parameters(architecture)
            inspection.add("model.py", "parameters", values.params or "not said", params, values.params == params)
        elif may_run:
            inspection.leave_out("model.py", "program", f"not {expected}; run, as asked for")
        else:
            what = "another program; read it, and verify it with --run if it may be run"
            inspection.add("model.py", "program", what, expected, False)
            raise Stopped
    return Images(values.mean, values.std, values.image_size)


def images_of_run(inspection: Inspection, architecture: Architecture) -> Images:
    """What the result of a study's run says of images."""
    with inspection.reading("result.json", "result"):
        values = inspection.values("result.json")
    return Images(*normalisation(values.get("mean"), values.get("std"), architecture.in_channels))
