"""The command line as a user meets it: the three commands on real data, and every mistake as one line."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, Popen

import optuna
import pytest

from models.architecture import Architecture
from models.count import count_parameters
from search.files import StudyFiles
from search.study.storage import read_study

Nas = Callable[..., CompletedProcess[str]]
NAS = Path(sys.executable).with_name("nas")
SMALL_SPACE = """
stem: {width: [8, 16]}
num_stages: [1, 2]
stage: {block: basic, depth: [1, 2], width: [8, 16, 32]}
rules: {non_decreasing_width: true}
"""
SEARCH = ("search", "--data", "digits", "--space", "small.yaml", "--budget", "20k", "--trials", "4", "--epochs", "2")


@pytest.fixture(autouse=True)
def _space(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)


def trials(nas: Nas, *arguments: str) -> list[dict[str, object]]:
    result = nas("trials", "--format", "json", *arguments)
    assert result.returncode == 0, result.stderr
    rows: list[dict[str, object]] = json.loads(result.stdout)
    return rows


def test_search_retrain_report_and_export_work_end_to_end(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE + "dropout: [0.0, 0.1]\n")
    searched = nas(*SEARCH)
    assert searched.returncode == 0, searched.stderr
    assert "4 trials trained" in searched.stdout
    assert "none of them over the budget or a repeat" in searched.stdout

    rows = trials(nas)
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        architecture = Architecture.from_dict(row["architecture"])
        assert count_parameters(architecture) == row["params"] <= 20_000  # type: ignore[operator]
        assert row["state"] in ("complete", "pruned")
    assert len({json.dumps(row["architecture"]) for row in rows}) == 4

    retrained = nas("retrain", "--top", "2", "--epochs", "3", "--seeds", "2")
    assert retrained.returncode == 0, retrained.stderr
    chosen = re.search(
        r"^chosen is trial (\d+) with dropout ([\d.]+), by mean validation acc.+$", retrained.stdout, re.M
    )
    assert chosen is not None and all(f"{dropout} (" in chosen[0] for dropout in ("0", "0.1"))
    assert retrained.stdout.count("mean validation accuracy") == 2 + 1 + 1, "finalists, the other dropout, the choice"
    assert retrained.stdout.count("test accuracy") == 2
    ledger = list((tmp_path / "studies" / "test-ledger").glob("digits-*.jsonl"))
    assert len(ledger) == 1
    openings = [json.loads(line) for line in ledger[0].read_text().splitlines()]
    assert sorted(opening["seed"] for opening in openings) == [0, 1]

    number, dropout = chosen.groups()
    again = nas("retrain", "--trial", number, "--dropout", dropout, "--epochs", "3", "--seeds", "2")
    assert again.returncode == 0, again.stderr
    assert len(ledger[0].read_text().splitlines()) == 2, "what is there already is not trained and tested again"

    reported = nas("report")
    assert reported.returncode == 0, reported.stderr
    page = (tmp_path / "studies" / "digits-20k" / "report.html").read_text()
    assert f"{openings[0]['accuracy']:.2%}" in page
    table = list(csv.DictReader(io.StringIO((tmp_path / "studies" / "digits-20k" / "trials.csv").read_text())))
    assert [row["number"] for row in table] == ["0", "1", "2", "3"]

    exported = nas("export", "--trial", number, "--output", "net")
    assert exported.returncode == 0, exported.stderr
    network = Architecture.from_json((tmp_path / "net" / "architecture.json").read_text())
    assert {stage.dropout for stage in network.stages} == {float(dropout)}
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [
        "MODEL_CARD.md",
        "architecture.json",
        "model.py",
        "weights.safetensors",
    ]


def test_the_same_seed_gives_the_same_trials_to_the_bit(nas: Nas) -> None:
    for name in ("one", "two"):
        result = nas(*SEARCH, "--study", name)
        assert result.returncode == 0, result.stderr
    one, two = trials(nas, "--study", "one"), trials(nas, "--study", "two")
    assert [(row["architecture"], row["value"]) for row in one] == [(row["architecture"], row["value"]) for row in two]
    assert nas(*SEARCH, "--study", "three", "--seed", "1").returncode == 0
    assert [row["value"] for row in trials(nas, "--study", "three")] != [row["value"] for row in one]


@pytest.mark.slow
def test_a_killed_search_goes_on_to_exactly_the_trials_asked_for(nas: Nas, tmp_path: Path) -> None:
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = [str(NAS), *SEARCH, "--trials", "6", "--epochs", "4", "--pruner", "none"]
    process = Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = read_study(files, None)[0] if files.database.is_file() and files.plan.is_file() else []
        if len(found) >= 3 and found[-1].state == optuna.trial.TrialState.RUNNING:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = read_study(files, None)[0]
    assert before[-1].state == optuna.trial.TrialState.RUNNING
    result = nas(*command[1:])
    assert result.returncode == 0, result.stderr
    rows = trials(nas)
    assert [row["number"] for row in rows] == list(range(6))
    assert {row["state"] for row in rows} == {"complete"}
    assert len({json.dumps(row["architecture"]) for row in rows}) == 6
    assert rows[before[-1].number]["architecture"] == json.loads(before[-1].user_attrs["architecture"])


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_search_with_its_status_and_no_worker_left(tmp_path: Path, sent: int, status: int) -> None:
    command = [str(NAS), *SEARCH, "--trials", "50", "--epochs", "50", "--pruner", "none"]
    # A test runner that was started in the background has SIGINT ignored, which children would inherit.
    with Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            while "trial 0 begins" not in process.stdout.readline():
                assert process.poll() is None
            listed = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
            workers = listed.stdout.split()
            process.send_signal(sent)
            process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == status
    assert workers
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


def test_dry_run_counts_and_stores_nothing(nas: Nas, tmp_path: Path) -> None:
    result = nas("search", "--data", "digits", "--budget", "20k", "--trials", "30", "--dry-run", "--format", "json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len(rows) == 30
    assert {row["state"] for row in rows} == {"sampled"}
    assert all(count_parameters(Architecture.from_dict(row["architecture"])) <= 20_000 for row in rows)
    assert not (tmp_path / "studies").exists()


def test_space_counts_what_a_budget_leaves(nas: Nas) -> None:
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "5k", "--format", "json").stdout)
    assert values["total"] > values["feasible"] > 0
    assert values["smallest"] <= 5_000 < values["largest"]


def test_show_adds_up(nas: Nas, tmp_path: Path) -> None:
    text = '{"stem": {"width": 16}, "stages": [{"block": "basic", "depth": 3, "width": 16}]}'
    (tmp_path / "net.json").write_text(text)
    shown = json.loads(nas("show", "--architecture", "net.json", "--format", "json").stdout)
    assert shown["params"] == count_parameters(Architecture.from_json(text))
    assert sum(part["macs"] for part in shown["parts"]) == shown["macs"]
    assert "total" in nas("show", "--architecture", "net.json").stdout


def test_baselines_are_listed_with_their_exact_cost(nas: Nas) -> None:
    rows = {row["name"]: row for row in json.loads(nas("baseline", "list", "--format", "json").stdout)}
    assert rows["resnet40"]["params"] == 4_994_730
    assert all({"name", "params", "macs"} <= set(row) for row in rows.values())
    shown = json.loads(nas("show", "--baseline", "resnet40", "--format", "json").stdout)
    assert (shown["params"], shown["macs"]) == (4_994_730, rows["resnet40"]["macs"])


@pytest.mark.slow
def test_a_baseline_is_retrained_beside_a_winner_and_stands_in_the_report(nas: Nas, tmp_path: Path) -> None:
    assert nas(*SEARCH, "--trials", "1").returncode == 0
    result = nas("retrain", "--trial", "0", "--baseline", "resnet20-b", "--epochs", "1")
    assert result.returncode == 0, result.stderr
    assert "trial 0 seed 0: test accuracy" in result.stdout
    assert "resnet20-b by full seed 0: test accuracy" in result.stdout
    assert "nothing can be said of trial 0 against resnet20-b with 1 seed each, for one run tells no" in result.stdout
    assert nas("report").returncode == 0
    assert "resnet20-b" in (tmp_path / "studies" / "digits-20k" / "report.html").read_text()


@pytest.mark.slow
def test_a_holdout_keeps_the_validation_images_out_and_its_runs_apart(nas: Nas, tmp_path: Path) -> None:
    assert nas(*SEARCH, "--trials", "1").returncode == 0
    whole = nas("retrain", "--trial", "0", "--epochs", "1")
    held = nas("retrain", "--trial", "0", "--epochs", "1", "--holdout")
    assert (whole.returncode, held.returncode) == (0, 0), held.stderr
    assert "validation accuracy" in held.stdout and "validation accuracy" not in whole.stdout
    runs = tmp_path / "studies" / "digits-20k" / "retrain" / "0000"
    assert sorted(path.name for path in runs.iterdir()) == ["seed-0", "seed-0-holdout"]
    assert "2 openings by all studies" in held.stdout


def test_a_baseline_is_trained_by_a_recipe_in_a_study_of_its_own(nas: Nas, tmp_path: Path) -> None:
    command = (
        "baseline",
        "train",
        "resnet20-b",
        "resnet20-a",
        "--data",
        "digits",
        "--recipe",
        "brief.yaml",
        "--budget",
        "270k",
    )
    (tmp_path / "brief.yaml").write_text("{name: brief, epochs: 1, batch_size: 512, schedule: plateau, warmup: 0}")
    result = nas(*command, "--log", "tensorboard")
    assert result.returncode == 0, result.stderr
    assert "resnet20-b by brief seed 0: test accuracy" in result.stdout
    assert "272,186 parameters (a reference, over the budget of 270,000)" in result.stdout
    folder = tmp_path / "studies" / "digits-baselines"
    assert (folder / "retrain" / "resnet20-b" / "brief" / "seed-0" / "weights.safetensors").is_file()
    assert [path.name for path in sorted((folder / "tensorboard").iterdir())] == [
        "final-resnet20-a-seed-0",
        "final-resnet20-b-seed-0",
    ]
    assert nas("report").returncode == 0
    page = (folder / "report.html").read_text()
    assert "No search was made here: 2 networks made by hand." in page
    assert "resnet20-b is over the budget" in page
    assert "did not see the validation images" in page
    ledger = next((tmp_path / "studies" / "test-ledger").iterdir())
    assert len(ledger.read_text().splitlines()) == 2
    assert nas(*command).returncode == 0
    assert len(ledger.read_text().splitlines()) == 2, "what is there already is not trained and tested again"


def test_a_baseline_list_names_recipes_that_exist(nas: Nas) -> None:
    from search.recipes import RECIPES

    rows = json.loads(nas("baseline", "list", "--format", "json").stdout)
    assert len(rows) == 18
    assert {row["recipe"] for row in rows} <= set(RECIPES)
    assert {"name", "params", "macs", "source", "recipe", "reported"} <= set(rows[0])
    assert [row["name"] for row in rows if not row["within_budget"]] == ["resnet18", "flexible-1", "flexible-6"]


def test_a_learning_rate_range_is_found_and_drawn(nas: Nas, tmp_path: Path) -> None:
    result = nas("lr-range", "--baseline", "resnet20-b", "--data", "digits", "--recipe", "fast", "--steps", "40")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("learning rate: ")
    assert (tmp_path / "lr-range-resnet20-b.html").is_file()
    assert not (tmp_path / "studies").exists()


def test_a_contact_sheet_is_drawn(nas: Nas, tmp_path: Path) -> None:
    result = nas("data", "show", "--data", "digits", "--recipe", "full")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "digits-full.png").read_bytes().startswith(b"\x89PNG")


LIMITED = ("search", "--data", "digits", "--budget", "1M")
BASELINE = ("baseline", "train", "resnet20-b", "--data", "digits")


def test_one_search_answers_for_every_budget(nas: Nas, tmp_path: Path) -> None:
    assert nas(*SEARCH, "--trials", "5", "--sampler", "random").returncode == 0
    complete = [row for row in trials(nas) if row["state"] == "complete"]
    sizes = sorted(int(row["params"]) for row in complete)  # type: ignore[call-overload]
    small = sizes[1]
    best = max(
        (row for row in complete if row["params"] <= small),  # type: ignore[operator]
        key=lambda row: row["value"],  # type: ignore[arg-type, return-value]
    )
    retrained = nas("retrain", "--per-budget", f"{small},{small}", "--epochs", "1")
    assert retrained.returncode == 0, retrained.stderr
    assert retrained.stdout.count("test accuracy") == 1
    assert f"trial {best['number']} seed 0: test accuracy" in retrained.stdout
    assert nas("report", "--budgets", f"{small},20k").returncode == 0
    page = (tmp_path / "studies" / "digits-20k" / "report.html").read_text()
    assert "The best complete trial under each budget" in page
    assert "The search space holds" in page
    none = nas("retrain", "--per-budget", "10")
    assert none.returncode == 2
    assert none.stderr.endswith("nas: per-budget = 10: no trial of so few parameters was trained to the end\n")


def test_several_limits_hold_at_once(nas: Nas) -> None:
    options = ("--limit", "macs=400k", "--limit", "bytes=12KB@int8", "--fill", "0.2", "--format", "json")
    result = nas(*SEARCH, "--dry-run", "--trials", "20", *options)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert 0 < len(rows) <= 20
    assert all(row["macs"] <= 400_000 and 4_000 <= row["params"] <= 12_000 for row in rows)


def test_a_study_is_asked_of_its_space_and_of_baselines_within_its_budget(nas: Nas) -> None:
    assert nas(*SEARCH, "--trials", "1").returncode == 0
    own = nas("space", "--study", "digits-20k", "--format", "json")
    said = nas("space", "--space", "small.yaml", "--budget", "20k", "--data", "digits", "--format", "json")
    assert own.returncode == 0 and json.loads(own.stdout) == json.loads(said.stdout)
    rows = json.loads(nas("baseline", "list", "--study", "digits-20k", "--format", "json").stdout)
    assert not any(row["within_budget"] for row in rows)
    assert all(row["architecture"]["in_channels"] == 1 for row in rows)


def test_the_audit_is_printed_in_every_form(nas: Nas) -> None:
    told = nas("space", "--space", "small.yaml", "--budget", "3k", "--data", "digits")
    assert told.returncode == 0, told.stderr
    assert "different architectures of" in told.stdout and "what no design within the limits has" in told.stdout
    values = json.loads(nas("space", "--space", "small.yaml", "--budget", "20k", "--format", "json").stdout)
    assert values["feasible"] <= values["total"] == sum(each["designs"] for each in values["histogram"])
    names = [row[0] for row in csv.reader(nas("space", "--space", "small.yaml", "--format", "csv").stdout.splitlines())]
    assert names[:3] == ["name", "total", "feasible"] and "histogram" not in names


WRONG = [
    (
        ("baseline", "train", "resnet20", "--data", "digits"),
        "baseline = 'resnet20': no such baseline; there are resnet20-",
    ),
    (BASELINE, "mean = (0.4914, 0.4822, 0.4465): digits has 1 channel"),
    ((*BASELINE, "--recipe", "as3"), "recipe = 'as3': no such recipe; did you mean as"),
    ((*BASELINE, "--recipe", "key.yaml"), "key.yaml: cutmax: unknown key"),
    ((*BASELINE, "--recipe", "mix.yaml"), "mix.yaml: cutmix = 1: needs a batch_size of 2 or more"),
    ((*BASELINE, "--recipe", "crop.yaml"), "crop_padding = 9: must be smaller than an image of 8 pixels"),
    ((*BASELINE, "--recipe", "jitter.yaml"), "color_jitter: needs images of 3 channels; those of digits have 1"),
    ((*BASELINE, "--recipe", "fast", "--log", "wandb"), "log = 'wandb': must be tensorboard"),
    ((*LIMITED, "--limit", "macs=10"), "limit macs = 10: the smallest network of this space on digits needs"),
    ((*LIMITED, "--limit", "bites=3"), "limit = 'bites=3': there is no such limit; there is bytes"),
    ((*LIMITED, "--limit", "bytes=3KB@int7"), "limit bytes = '3KB@int7': precision must be one of fp32"),
    ((*LIMITED, "--limit", "latency=5"), "limit latency = '5': must be a time above zero with its unit"),
    ((*LIMITED, "--limit", "macs=1M", "--limit", "macs=2M"), "limit macs = '2M': is given twice"),
    ((*LIMITED, "--fill", "1.5"), "fill = '1.5': must be above 0 and at most 1"),
    (
        (*LIMITED, "--fill", "0.9", "--limit", "bytes=100KB@int8"),
        "asks for at least 900,000 parameters, but limit bytes",
    ),
    (("space", "--limit", "macs=1M"), "space: --limit and --fill need a --budget"),
    (("space", "--study", "x", "--budget", "1M"), "space: --study tells space, limits and data; leave out the others"),
    (
        ("retrain", "--top", "2", "--dropout", "0.1"),
        "dropout = 0.1: is for --trial and --per-budget; --top 2 or more chooses it",
    ),
    (("retrain", "--top", "2", "--per-budget", "1M"), "retrain: give either --trial NUMBER (once or more), --top K or"),
    (("lr-range", "--data", "digits"), "lr-range: give one of --trial NUMBER and --baseline NAME"),
    (
        ("lr-range", "--baseline", "resnet40", "--data", "digits", "--min-lr", "2", "--max-lr", "1"),
        "min-lr = 2, max-lr = 1",
    ),
    (("lr-range", "--baseline", "resnet40", "--data", "digits", "--steps", "3"), "steps = 3: must be 10 or more"),
    (("data", "show", "--data", "digits", "--recipe", "as1"), "mean = "),
    (
        ("search", "--data", "digits", "--budget", "100"),
        "budget = 100: the smallest network of this space on digits has",
    ),
    (("search", "--data", "digits", "--budget", "many"), "budget = 'many': must be a whole number"),
    (("search", "--data", "digits"), "Missing option '--budget'"),
    (("search", "--data", "digits", "--budget", "1M", "--frobnicate"), "No such option: --frobnicate"),
    (("search", "--data", "digit", "--budget", "1M"), "digits"),
    (("search", "--data", "./nowhere", "--budget", "1M"), "nowhere"),
    (("search", "--data", "digits", "--budget", "1M", "--study", "../up"), "study = '../up': must be"),
    (("search", "--data", "digits", "--budget", "1M", "--space", "none.yaml"), "none.yaml: No such file"),
    (("search", "--data", "digits", "--budget", "1M", "--space", "bad.yaml"), "bad.yaml: stage.colour: unknown key"),
    (("search", "--data", "digits", "--budget", "1M", "--space", "torn.yaml"), "torn.yaml: not YAML"),
    (("search", "--data", "digits", "--budget", "1M", "--recipe", "fats"), "did you mean fast or ft?"),
    (("search", "--data", "digits", "--budget", "1M", "--epochs", "0"), "epochs = 0"),
    (("search", "--data", "digits", "--budget", "1M", "--sampler", "grid"), "sampler = 'grid': must be one of"),
    (("search", "--data", "digits", "--budget", "1M", "--device", "cuda"), "device = cuda: no CUDA GPU"),
    (("search", "--data", "digits", "--budget", "1M", "--timeout", "soon"), "timeout = 'soon'"),
    (("search", "--data", "digits", "--budget", "1M", "--workers", "all"), "workers = 'all': must be auto"),
    (("search", "--data", "digits", "--budget", "1M", "--batch-size", "2k"), "batch_size = 2000: larger"),
    (("retrain", "--trial", "1"), "study: none has been used in studies"),
    (("retrain", "--study", "x"), "retrain: give either --trial NUMBER (once or more), --top K"),
    (("evaluate", "--data", "digits"), "evaluate: give one of --trial NUMBER and --baseline NAME"),
    (("export", "--baseline", "resnet40", "--dropout", "0.1"), "dropout = 0.1: is for --trial; baselines keep theirs"),
    (("predict", "--trial", "1", "--input", "x", "--output", "y.csv"), "study: none has been used in studies"),
    (("export", "--baseline", "resnet40", "--study", "x"), "study = 'x': no such study in studies"),
    (("report", "--study", "nothing"), "study = 'nothing': no such study in studies"),
    (("show", "--architecture", "bad.yaml"), "bad.yaml: architecture: not JSON"),
    (("show", "--baseline", "resnet4"), "baseline = 'resnet4': no such baseline; there are resnet40"),
    (("frob",), "No such command 'frob'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_mistake_is_one_line_and_status_2(nas: Nas, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    if "cuda" in arguments and any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a CUDA GPU")
    (tmp_path / "bad.yaml").write_text("stem: {width: 8}\nnum_stages: 1\nstage: {colour: red}\n")
    (tmp_path / "torn.yaml").write_text("stem: {width: [8\n")
    for name, value in (("key", "cutmax: 1"), ("crop", "crop_padding: 9"), ("jitter", "color_jitter: {hue: 0.1}")):
        (tmp_path / f"{name}.yaml").write_text(f"{{name: {name}, epochs: 1, {value}}}")
    (tmp_path / "mix.yaml").write_text("{name: mix, epochs: 1, cutmix: 1, batch_size: 1}")
    result = nas(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "studies").exists(), "nothing is written for a request that cannot be meant"


def test_mistakes_about_a_study_are_one_line(nas: Nas) -> None:
    assert nas(*SEARCH, "--trials", "2").returncode == 0
    changed = nas(*SEARCH, "--budget", "30k", "--study", "digits-20k")
    assert changed.returncode == 2
    assert "was begun with another question (budget = 20000, now 30000)" in changed.stderr
    assert changed.stderr.count("\n") == 1
    unknown = nas("retrain", "--trial", "99", "--study", "digits-20k")
    assert unknown.returncode == 2
    assert unknown.stderr == "nas: trial = 99: no such trial in this study; there are 2, from 0\n"
    early = nas("export", "--trial", "0", "--study", "digits-20k")
    assert early.returncode == 2
    assert "run `nas retrain --trial 0` first" in early.stderr
    nowhere = nas("report", "--study", "digits-20k", "--output", "small.yaml/report.html")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nas: cannot write small.yaml/report.html")
    assert nowhere.stderr.count("\n") == 1


def test_debug_shows_the_traceback(nas: Nas) -> None:
    result = nas("report", "--study", "nothing", "--debug")
    assert "Traceback" in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['nas', '--help']; import search.cli\n"
        "try: search.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'numpy', 'sklearn', 'pyarrow', 'yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    assert "retrain" in result.stdout
