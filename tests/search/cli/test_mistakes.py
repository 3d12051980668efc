"""Every mistake is one line and status 2, and nothing is written."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from search.recipes import FULL, to_yaml

Nas = Callable[..., CompletedProcess[str]]


LIMITED = ("search", "--data", "digits", "--budget", "1M")
BASELINE = ("baseline", "train", "resnet20-b", "--data", "digits")
WRONG = [
    (
        ("baseline", "train", "resnet20", "--data", "digits"),
        "baseline = 'resnet20': no such baseline; there are resnet20-",
    ),
    (BASELINE, "mean = (0.4914, 0.4822, 0.4465): digits has 1 channel"),
    ((*BASELINE, "--recipe", "as3"), "recipe = 'as3': no such recipe; did you mean as"),
    ((*BASELINE, "--recipe", "key.yaml"), "key.yaml: cutmax: unknown key"),
    (
        (*BASELINE, "--recipe", "full.yaml"),
        "full.yaml: name: full is a recipe of nas, which differs in lr, momentum; give it another",
    ),
    ((*BASELINE, "--recipe", "mix.yaml"), "mix.yaml: cutmix = 1: needs a batch_size of 2 or more"),
    ((*BASELINE, "--recipe", "crop.yaml"), "crop_padding = 9: must be smaller than an image of 8 pixels"),
    ((*BASELINE, "--recipe", "jitter.yaml"), "color_jitter: needs images of 3 channels; those of digits have 1"),
    ((*BASELINE, "--recipe", "fast", "--log", "comet"), "log = 'comet': must be one of tensorboard, mlflow"),
    ((*LIMITED, "--limit", "macs=10"), "limit macs = 10: the smallest network of this space on digits needs"),
    ((*LIMITED, "--limit", "bites=3"), "limit = 'bites=3': there is no such limit; there is bytes"),
    ((*LIMITED, "--limit", "bytes=3KB@int7"), "limit bytes = '3KB@int7': precision must be one of fp32"),
    ((*LIMITED, "--limit", "latency=5"), "limit latency = '5': must be a time above zero with its unit"),
    ((*LIMITED, "--limit", "macs=1M", "--limit", "macs=2M"), "limit macs = '2M': is given twice"),
    ((*LIMITED, "--fill", "1.5"), "fill = '1.5': must be above 0 and at most 1"),
    (("space", "--limit", "macs=1M"), "space: --limit and --fill need a --budget"),
    (("space", "--study", "x", "--budget", "1M"), "space: --study gives space, limits and data; leave out the others"),
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
    (("search", "--data", "digits", "--budget", "1M", "--device", "gpu"), "device = 'gpu': must be one of auto, cpu,"),
    (
        ("search", "--data", "digits", "--budget", "1M", "--device", "cuda:1", "--ray", "auto"),
        "device = cuda:1: is for",
    ),
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
    changed = FULL.model_copy(update={"epochs": 1, "lr": 0.7, "momentum": 0.8})
    (tmp_path / "full.yaml").write_text(to_yaml(changed))
    (tmp_path / "mix.yaml").write_text("{name: mix, epochs: 1, cutmix: 1, batch_size: 1}")
    result = nas(*arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "studies").exists(), "nothing is written for an invalid request"
