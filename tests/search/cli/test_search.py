"""`nas search` as a user meets it, and the question it makes of its options."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from simulation import SimulatedFleet
from small_search import SEARCH, SMALL_SPACE, Simulation

from models.architecture import Architecture
from models.count import count_parameters
from search.cli.search import default_study, given_options, limit_words, parse_question, print_outcome
from search.errors import InputError
from search.files import StudyFiles
from search.protocol import Job
from search.recipes import FAST
from search.run.listener import Outcome
from search.run.plans import settle
from search.study.plan import Plan, Question
from search.study.storage import read_study
from search.workers import machine

Nas = Callable[..., CompletedProcess[str]]
DIGITS = ("search", "--data", "digits", "--budget", "20k")
RULE = "at most 400k MACs (320 for each of 20,000 parameters at 32x32 pixels, --limit macs=none lifts it)"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (5_000_000, "5M"),
        (1_500_000, "1.5M"),
        (20_000, "20k"),
        (999, "999"),
        (1_234_567, "1234567"),
        (123_456_700, "123456.7k"),
        (123_457_000, "123457k"),
        (1_234_567_800, "1234567.8k"),
        (10**17 + 10**5, "100000000000.1M"),
    ],
)
def test_a_study_is_named_by_default_for_its_data_and_its_budget_to_the_digit(number: int, text: str) -> None:
    assert default_study("digits", number) == f"digits-{text}"
    assert StudyFiles(Path("studies"), default_study("digits", number)).name == f"digits-{text}"


def test_dry_run_counts_and_stores_nothing(nas: Nas, tmp_path: Path) -> None:
    result = nas("search", "--data", "digits", "--budget", "20k", "--trials", "30", "--dry-run", "--format", "json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert len(rows) == 30
    assert {row["state"] for row in rows} == {"sampled"}
    assert all(count_parameters(Architecture.from_dict(row["architecture"])) <= 20_000 for row in rows)
    assert not (tmp_path / "studies").exists()


def test_a_dry_run_of_a_space_of_one_design_samples_it_once_and_says_why(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("{stem: {width: 8}, num_stages: 1, stage: {block: basic, depth: 1, width: 8}}")
    options = ("--data", "digits", "--space", "one.yaml", "--budget", "20k", "--trials", "5", "--dry-run")
    result = nas("search", *options, "--format", "json")
    assert len(json.loads(result.stdout)) == 1
    assert result.stderr.startswith("1 different design within 20,000 parameters from ")
    assert result.stderr.endswith("stopped early: the only design within the limits has been tried\n")


def test_what_a_search_leaves_unfinished_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_outcome(Outcome(1, 1, 1, 0, 0, None, num_unfinished=1))
    print_outcome(Outcome(4, 1_200, 1_300, 0, 0, "the time given is over", too_slow=1, num_unfinished=2))
    assert capsys.readouterr().out.splitlines() == [
        "1 interrupted trial left: the same command with more --trials goes on with it",
        "1 trial trained; 1 design proposed from 1 draw (0 moved into the limits, 0 random instead), none of them "
        "over the budget or a repeat",
        "1 design missed the limit of latency and was not trained",
        "stopped early: the time given is over",
        "2 interrupted trials left: the same command goes on with them",
        "4 trials trained; 1,200 designs proposed from 1,300 draws (0 moved into the limits, 0 random instead), none "
        "of them over the budget or a repeat",
    ]


def test_several_limits_hold_at_once(nas: Nas) -> None:
    options = ("--limit", "macs=400k", "--limit", "bytes=12KB@int8", "--fill", "0.2", "--format", "json")
    result = nas(*DIGITS, "--space", "small.yaml", "--dry-run", "--trials", "20", *options)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert 0 < len(rows) <= 20
    assert all(row["macs"] <= 400_000 and 2_400 <= row["params"] <= 12_000 for row in rows)


def test_a_search_that_is_done_starts_no_worker(nas: Nas, searched: StudyFiles, simulation: Simulation) -> None:
    for num_trials in ("20", "3"):
        done = nas(*SEARCH, "--trials", num_trials, "--epochs", "4", "--device", "cpu", "--fill", "none")
        assert done.returncode == 0, done.stderr
        assert "the study has 20 trained trials already\n20 trials trained; 0 designs proposed" in done.stdout
    assert simulation.fleets == []


def test_mistakes_about_a_study_are_one_line(nas: Nas, searched: StudyFiles) -> None:
    changed = nas(*SEARCH, "--epochs", "4", "--fill", "none", "--budget", "30k", "--study", "digits-20k")
    assert changed.returncode == 2
    assert "was begun with another question (budget = 20000, now 30000)" in changed.stderr
    assert changed.stderr.count("\n") == 1
    unknown = nas("retrain", "--trial", "99", "--study", "digits-20k")
    assert unknown.returncode == 2
    assert unknown.stderr == "nas: trial = 99: no such trial in this study; there are 20, from 0\n"
    early = nas("export", "--trial", "0", "--study", "digits-20k")
    assert early.returncode == 2
    assert "run `nas retrain --trial 0` first" in early.stderr
    nowhere = nas("report", "--study", "digits-20k", "--output", "small.yaml/report.html")
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("nas: cannot write small.yaml/report.html")
    assert nowhere.stderr.count("\n") == 1


def question(data: str = "digits", budget: str = "20k", **options: Any) -> Any:
    """The data set and the question of a new study."""
    defaults: dict[str, Any] = {
        "limit": None, "fill": None, "space": None, "recipe": FAST, "sampler": "tpe", "pruner": "asha", "seed": 0,
        "warm_start": True,
    }  # fmt: skip
    chosen = defaults | options
    dataset, asked = parse_question(data, budget, **chosen)
    return dataset, settle(asked, given_options(chosen["space"], chosen["limit"], chosen["fill"], None, None), None)


def test_a_question_is_what_the_options_say() -> None:
    dataset, asked = question(budget="1M", limit=["macs=400k"], fill="0.2", sampler="random", pruner="none", seed=3)
    assert dataset.name == asked.data.name == "digits"
    assert (asked.budget, asked.limits, asked.fill) == (1_000_000, ("macs=400000",), 0.2)
    assert (asked.sampler, asked.pruner, asked.seed, asked.warm_start) == ("random", "none", 3, True)
    assert asked.recipe == FAST.fit_to("digits", dataset.num_train, 8, 1)


def test_what_a_user_should_know_of_the_data_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images, labels = np.zeros((60, 8, 8), np.uint8), np.repeat([0, 50, 999], 20)
    path = str(tmp_path / "a.npz")
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, x_valid=images)
    _, asked = question(data=path)
    assert asked.data.task.num_classes == 3
    assert caplog.messages == [
        f"data = {path!r}: not used: x_valid",
        f"data = {path!r}: 3 classes, named by their labels: 0, 50, 999",
        f"data = {path!r}: 60 of 60 test images are also training images, pixel by pixel",
        f"data = {path!r}: 1 training image is there with different labels",
    ]


def test_without_fill_the_share_to_use_depends_on_the_space_and_none_asks_for_nothing() -> None:
    assert question(budget="1M")[1].fill == 0.8
    assert question(budget="1M", fill="none")[1].fill == 0.0
    _, within = question(budget="1M", limit=["bytes=100KB@int8"])
    assert (within.fill, within.all_limits.min_int8_bytes) == (0.8, 80_000)
    assert "at least 80% of the 100,000 bytes in int8 used" in limit_words(within)
    _, within = question(budget="1M", limit=["bytes=400KB"])
    assert (within.fill, within.all_limits.min_params) == (0.8, 80_000)
    assert "at least 80% of the 100,000 that bytes leave used" in limit_words(within)


def test_limits_are_read_before_the_data() -> None:
    with pytest.raises(InputError, match=r"^budget = 'many': "):
        question(data="nowhere", budget="many")


@pytest.mark.parametrize(
    ("given", "macs", "words"),
    [
        (None, 400_000, RULE),
        (["MACs = Auto"], 400_000, RULE),
        (["macs=none"], None, None),
        (["macs=150k"], 150_000, "at most 150k MACs"),
        (["macs=400000"], 400_000, RULE),
        # It goes with the parameters that bytes leave.
        (["bytes=8KB@int8"], 160_000, RULE.replace("400k", "160k").replace("20,000", "8,000")),
    ],
)
def test_macs_are_limited_by_a_rule_unless_something_is_said(
    given: list[str] | None, macs: int | None, words: str | None
) -> None:
    _, asked = question(limit=given, fill="0.1")
    assert asked.all_limits.macs == macs
    assert [text for text in asked.limits if "macs" in text] == ([f"macs={macs}"] if macs else [])
    said = [text for text in limit_words(asked) if "MACs" in text]
    assert said == ([words] if words else [])


def test_the_rule_is_lifted_where_it_would_leave_no_design_and_that_is_said(nas: Nas, tmp_path: Path) -> None:
    wide = "{stem: {width: [64, 128]}, num_stages: 1, stage: {block: basic, depth: [1, 2], width: 128}}"
    (tmp_path / "wide.yaml").write_text(wide)
    command = ("search", "--data", "digits", "--space", "wide.yaml", "--budget", "700k", "--trials", "2", "--dry-run")
    for options in ((), ("--limit", "macs=auto"), ("--fill", "0.2")):
        done = nas(*command, *options)
        assert done.returncode == 0, done.stderr
        share = {(): " that uses 80% of the budget", ("--fill", "0.2"): " that uses 20% of the budget"}
        assert "limit macs = auto: lifted, since no network of this space" in done.stderr
        assert "keeps to 14,000,000 MACs\n" in done.stderr and share.get(options, "") in done.stderr
        assert "limits: at most 700,000 parameters\n" in done.stderr or options
    silent = nas(*command, "--limit", "macs=none")
    assert "lifted" not in silent.stderr and silent.stdout == nas(*command).stdout


def test_a_dry_run_says_the_limits_of_its_designs(nas: Nas) -> None:
    done = nas(*DIGITS, "--trials", "5", "--dry-run", "--format", "json")  # fill and rule hold together
    assert f"\nlimits: at most 20,000 parameters, at least 80% of the budget used, {RULE}\n" in done.stderr
    assert all(row["macs"] <= 400_000 for row in json.loads(done.stdout))


def test_a_study_says_its_rule_in_its_first_lines_its_plan_and_on_its_page(
    nas: Nas, tmp_path: Path, simulation: Simulation
) -> None:
    command = (*DIGITS, "--space", "small.yaml", "--fill", "none", "--trials", "2", "--device", "cpu")
    done = nas(*command)
    assert done.returncode == 0, done.stderr
    assert f"study digits-20k in studies/digits-20k: at most 20,000 parameters, {RULE}, digits, 2 trials" in done.stdout
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    assert Plan.load(files).question.limits == ("macs=400000",)
    assert nas("report").returncode == 0
    page = (files.folder / "report.html").read_text()
    assert "at most 20,000 parameters and 400k MACs classifies" in page
    assert "macs=400000 (by the rule, macs=auto)" in page
    assert f"Only networks of {RULE} were searched." in re.sub(r"</?span[^>]*>", "", page)
    # Nothing said, or the same said: it goes on. Another limit, or none: the question has changed.
    for same in ((), ("--limit", "macs=auto"), ("--limit", "macs=400000")):
        assert nas(*command, *same).returncode == 0
    for other, now in (("none", ""), ("150k", "macs=150000")):
        refused = nas(*command, "--limit", f"macs={other}")
        assert refused.returncode == 2 and f"(limits = ['macs=400000'], now {[now] if now else []})" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time", "30m", "--trials", "5"), "time = '30m': is instead of --trials; leave out one of them"),
        (("--time", "30m", "--dry-run"), "time = '30m': a dry run trains nothing; give it --trials"),
        (("--time", "soon"), "time = 'soon': must be a time above zero, as in 90s, 30m or 2h"),
        (("--trials", ""), "trials = '': must be a whole number from 1 to 10^12, as in 5e6, 5M, 500k or 5_000_000"),
    ],
)
def test_a_time_is_given_instead_of_trials_and_is_a_time(nas: Nas, options: tuple[str, ...], message: str) -> None:
    refused = nas(*DIGITS, *options)
    assert (refused.returncode, refused.stderr) == (2, f"nas: {message}\n")


MANY = SMALL_SPACE.replace("depth: [1, 2]", "depth: [1, 2, 3, 4, 5, 6]").replace("[1, 2]", "[1, 2, 3]")


@pytest.mark.slow
def test_a_search_by_time_goes_on_by_time_or_by_trials_in_its_own_length(
    nas: Nas, tmp_path: Path, simulation: Simulation
) -> None:
    (tmp_path / "many.yaml").write_text(MANY)
    simulation.epoch_seconds = 0.05  # what the forecast says; a simulated trial takes no time but the coordinator's
    command = (*DIGITS, "--space", "many.yaml", "--device", "cpu", "--workers", "1")
    files, num_trained = StudyFiles(tmp_path / "studies", "digits-20k"), 0
    for _ in range(2):
        done = nas(*command, "--time", "6s")
        assert done.returncode == 0, done.stderr
        assert "digits, as many trials as there is time for in 6.0 s" in done.stdout
        plan, rows = Plan.load(files), json.loads(nas("trials", "--format", "json").stdout)
        assert plan.circumstances.num_trials == len(rows) > num_trained
        epochs, num_trained = plan.question.recipe.epochs, len(rows)
        assert "6.0 s: about " in done.stdout and f" of {epochs} epochs, by the timing of 3 designs" in done.stdout
        assert epochs < FAST.epochs and {job.recipe.epochs for job in simulation.last_jobs} == {epochs}
        assert nas("report").returncode == 0
        page = (files.folder / "report.html").read_text()
        assert f'<span class="value">{num_trained}</span>' in page and "not finished" not in page
    more = nas(*command, "--trials", str(num_trained + 2))
    assert more.returncode == 0, more.stderr
    assert len(json.loads(nas("trials", "--format", "json").stdout)) == num_trained + 2
    assert Plan.load(files).circumstances.time is None
    other = nas(*command, "--time", "6s", "--epochs", "9")
    assert other.returncode == 2 and f"(recipe.epochs = {epochs}, now 9)" in other.stderr


@pytest.mark.parametrize("length", [(), ("--epochs", "400")])
def test_a_search_that_was_refused_once_it_had_begun_leaves_nothing_behind(
    nas: Nas, tmp_path: Path, simulation: Simulation, length: tuple[str, ...]
) -> None:
    simulation.epoch_seconds = 60.0
    done = nas(*DIGITS, "--space", "small.yaml", "--device", "cpu", "--time", "5s", *length)
    assert done.returncode == 2 and "too short for three trials" in done.stderr
    assert list((tmp_path / "studies").iterdir()) == []


def test_a_study_is_what_it_was_after_a_time_that_was_refused(
    nas: Nas, searched: StudyFiles, simulation: Simulation
) -> None:
    searched.last_used.write_text("another\n")
    plan, record = searched.plan.read_text(), read_study(searched, None)
    simulation.epoch_seconds = 60.0
    options = ("--space", "small.yaml", "--limit", "macs=none", "--fill", "none", "--epochs", "4", "--device", "cpu")
    done = nas(*DIGITS, *options, "--time", "5s")
    assert done.returncode == 2 and "too short for three trials" in done.stderr
    assert (searched.plan.read_text(), read_study(searched, None)) == (plan, record)
    assert searched.last_used.read_text() == "another\n"


def test_a_search_by_time_that_was_interrupted_before_its_first_trial_goes_on(
    nas: Nas, tmp_path: Path, simulation: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(setups: list[object], log: Path, say: object) -> SimulatedFleet:
        signal.raise_signal(signal.SIGINT)
        return simulation(setups, log, say)

    def curve(job: Job, epoch: int) -> float:
        signal.raise_signal(signal.SIGINT)
        return 0.5

    files = StudyFiles(tmp_path / "studies", "digits-20k")
    command = (*DIGITS, "--space", "small.yaml", "--device", "cpu", "--time", "20s", "--storage", "sqlite:///x.db")
    simulation.epoch_seconds, simulation.curve = 0.5, curve
    with monkeypatch.context() as patch:
        patch.setattr(machine, "LocalFleet", interrupted)
        assert nas(*command).returncode == 130
    assert Plan.load(files).question.recipe.epochs == FAST.epochs, "no length was chosen"
    done = nas(*command)
    assert (done.returncode, done.stderr) == (130, "nas: ended by SIGINT; the same command goes on from here\n")
    question = Plan.load(files).question
    assert question.recipe.epochs < FAST.epochs
    trials, attributes = read_study(files, f"sqlite:///{tmp_path}/x.db")
    assert len(trials) == 1 and Question.model_validate(attributes["question"]) == question


def test_a_study_of_another_folder_refuses_another_question_before_a_worker_starts(
    nas: Nas, tmp_path: Path, simulation: Simulation
) -> None:
    command = (*DIGITS, "--space", "small.yaml", "--device", "cpu", "--trials", "1", "--storage", "sqlite:///x.db")
    assert nas(*command).returncode == 0
    simulation.fleets.clear()
    refused = nas(*command, "--studies", "others", "--trials", "2", "--seed", "1")
    assert refused.returncode == 2 and "(seed = 0, now 1)" in refused.stderr
    assert simulation.fleets == [] and list((tmp_path / "others").iterdir()) == []


def test_a_study_of_another_folder_goes_on_in_its_precision(nas: Nas, tmp_path: Path, simulation: Simulation) -> None:
    command = (*DIGITS, "--space", "small.yaml", "--device", "cpu", "--storage", "sqlite:///x.db")
    assert nas(*command, "--trials", "1").returncode == 0
    simulation.precision = "bf16"  # that of a machine whose processors are quicker by it
    assert nas(*command, "--trials", "2", "--studies", "others").returncode == 0
    assert {job.recipe.precision for job in simulation.last_jobs} == {"fp32"}
    began, went_on = (Plan.load(StudyFiles(tmp_path / name, "digits-20k")) for name in ("studies", "others"))
    assert went_on.precision == began.precision == "fp32"
    assert went_on.circumstances.num_train == began.circumstances.num_train


@pytest.fixture
def in_folder(tmp_path: Path, nas_in: Nas, simulation: Simulation) -> Nas:
    """Runs `nas` in a folder of `tmp_path`, about the study toy."""
    search = (*DIGITS, "--space", str(tmp_path / "small.yaml"), "--device", "cpu")

    def call(folder: str, *options: str) -> CompletedProcess[str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        words = search if options[0] == "--trials" else ()
        return nas_in(tmp_path / folder, *words, *options, "--study", "toy", "--studies", str(tmp_path / "studies"))

    return call


def test_a_study_in_a_file_goes_on_from_any_folder(in_folder: Nas, tmp_path: Path) -> None:
    began = in_folder("A", "--trials", "1", "--storage", "sqlite:///x.db")
    assert began.returncode == 0, began.stderr
    for folder, storage in (
        ("B", ()),
        ("A", ("--storage", "sqlite:///x.db")),
        ("B", ("--storage", "sqlite:///../A/x.db")),
    ):
        done = in_folder(folder, "--trials", "2", *storage)
        assert done.returncode == 0 and "2 trials trained" in done.stdout, done.stderr
    refused = in_folder("B", "--trials", "2", "--storage", "sqlite:///x.db")
    rule = f"storage: study 'toy' is kept in sqlite:///{tmp_path}/A/x.db; leave out --storage"
    assert (refused.returncode, refused.stderr) == (2, f"nas: {rule}\n")
    assert len(json.loads(in_folder("B", "trials", "--format", "json").stdout)) == 2
    assert list((tmp_path / "B").iterdir()) == []


def test_a_study_whose_plan_holds_a_relative_file_goes_on_where_it_began_and_nowhere_else(
    in_folder: Nas, tmp_path: Path
) -> None:
    assert in_folder("A", "--trials", "1", "--storage", "sqlite:///x.db").returncode == 0
    files = StudyFiles(tmp_path / "studies", "toy")
    Plan.load(files).with_circumstances(storage="sqlite:///x.db").save(files)  # as it was written before
    for number, storage in enumerate(((), ("sqlite:///x.db",), (f"sqlite:///{tmp_path}/A/x.db",)), start=2):
        done = in_folder("A", "--trials", str(number), *(("--storage", *storage) if storage else ()))
        assert done.returncode == 0 and f"{number} trials trained" in done.stdout, done.stderr
    assert len(json.loads(in_folder("A", "trials", "--format", "json").stdout)) == 4
    rule = (
        f"study 'toy': its database {tmp_path}/B/x.db is missing; run the command in the folder where the study began"
    )
    for options in (("--trials", "5"), ("--trials", "5", "--storage", "sqlite:///x.db"), ("trials",), ("report",)):
        refused = in_folder("B", *options)
        assert (refused.returncode, refused.stderr) == (1, f"nas: {rule}\n")
    assert list((tmp_path / "B").iterdir()) == []


@pytest.mark.parametrize("own", [("notes.txt", "retrain/0001/weights"), ("study.lock", "workers.log"), ()])
def test_a_refused_search_leaves_a_folder_that_was_there_as_it_was(
    nas: Nas, tmp_path: Path, simulation: Simulation, monkeypatch: pytest.MonkeyPatch, own: tuple[str, ...]
) -> None:
    def hire(setups: list[object], log: Path, say: object) -> SimulatedFleet:
        log.open("ab").close()  # as real workers do
        return simulation(setups, log, say)

    monkeypatch.setattr(machine, "LocalFleet", hire)
    folder = tmp_path / "studies" / "digits-20k"
    folder.mkdir(parents=True)
    for name in own:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("the user's own")
    before = sorted(folder.rglob("*"))
    simulation.epoch_seconds = 60.0
    done = nas(*DIGITS, "--space", "small.yaml", "--device", "cpu", "--time", "5s")
    assert done.returncode == 2 and "too short for three trials" in done.stderr
    assert folder.is_dir() and sorted(folder.rglob("*")) == before
    assert all((folder / name).read_text() == "the user's own" for name in own)


@pytest.mark.slow
def test_a_search_by_time_ends_about_when_it_should_and_its_command_never_loads_torch(
    nas_process: Nas, tmp_path: Path
) -> None:
    (tmp_path / "many.yaml").write_text(MANY)
    options = ("--space", "many.yaml", "--device", "cpu", "--time", "40s", "--epochs", "2")
    done = nas_process(*DIGITS, *options, torchless=True)
    assert done.returncode == 0, done.stderr
    files = StudyFiles(tmp_path / "studies", "digits-20k")
    _, attributes = read_study(files, None)
    assert 26 <= attributes["seconds"] <= 44, "the coordinator's own clock, which begins with the workers"
    assert Plan.load(files).circumstances.num_trials >= 3
