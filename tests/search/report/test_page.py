import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from models.architecture import Architecture, Stage, Stem
from search.errors import StorageError
from search.report.page import render, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>"
SECTIONS = (
    "summary", "asked", "leaderboard", "accuracy", "history", "curves", "importances", "winner", "retraining", "ledger",
    "versions",
)  # fmt: skip
CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def without_plotly(page: str) -> str:
    """The page but for plotly.js, so that a failing assertion does not print five megabytes."""
    return re.sub(r"<script>.*", "", page, flags=re.DOTALL)


def test_the_same_study_gives_the_same_page(realistic):
    # Compared as a value: pytest would explain a difference of five megabytes for minutes.
    same = render(realistic) == render(realistic)
    assert same


def test_the_page_is_written_whole_and_holds_plotly_once(realistic, tmp_path):
    write_report(realistic, tmp_path / "new" / "report.html")
    text = (tmp_path / "new" / "report.html").read_text()
    assert text.count("plotly.js v") == 1
    assert text.rstrip().endswith("</html>")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_is_a_storage_error(study, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_report(study(), tmp_path / "file" / "report.html")


def test_the_page_asks_for_nothing_from_elsewhere(realistic):
    page = without_plotly(render(realistic))
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_every_figure_has_a_text_and_every_table_a_caption(realistic):
    page = without_plotly(render(realistic))
    captions = re.findall(r'<figcaption id="[\w-]+">(.+?)</figcaption>', page)
    assert len(captions) == page.count('class="plotly-graph-div"') == 10
    assert all(len(caption) > 40 for caption in captions)
    assert page.count("<table>") == page.count("<caption>") == 9


def test_the_summary_quotes_the_test_accuracy_with_its_seeds(realistic):
    page = without_plotly(render(realistic))
    assert "mean and standard deviation of 3 seeds" in page
    assert "Which network of at most 5,000,000 parameters classifies cifar10 best?" in page
    assert "0 of them over budget" in page


def odd_studies(study, trial, run):
    tiny = Architecture(Stem(8, kernel=7, padding=0), (Stage("basic", 1, 8),))
    return {
        "no trial": study(asked=(), versions=()),
        "none finished": study(trials=(trial(0, None, "running"),)),
        "all failed": study(trials=tuple(trial(n, None, "failed", reason=None) for n in range(3))),
        "all pruned": study(trials=tuple(trial(n, 0.4, "pruned") for n in range(3))),
        "one trial": study(trials=(trial(0),)),
        "one epoch": study(trials=(trial(0, num_epochs=1), trial(1, 0.2, "pruned", num_epochs=1))),
        "no values": study(trials=(trial(0, None), trial(1, float("nan"), "pruned"), trial(2, None, "pruned"))),
        "no history": study(trials=(trial(0, history=()),), runs=(run("0000", 0, 0.9, history=()),)),
        "no budget used": study(trials=tuple(trial(n, 0.5) for n in range(20))),
        "an image too small": study(image_size=2, trials=(trial(0, architecture=tiny),)),
        "a run without a test": study(trials=(trial(0),), runs=(run("0000", 0, None),)),
        "only baselines": study(runs=(run("resnet20-b", 0, 0.9),)),
        "only finalists": study(trials=(trial(0),), runs=(run("0000", 0, 0.9, "finalist"),)),
        "an unknown finalist": study(trials=(trial(0),), runs=(run("0009", 0, 0.9, "finalist"),)),
        "a perfect test": study(trials=(trial(0),), runs=(run("0000", 0, 1.0, confusion=((5, 0), (0, 5))),)),
        "an empty test": study(trials=(trial(0),), runs=(run("0000", 0, 0.0, confusion=((0, 0), (0, 0))),)),
        "zero accuracy": study(trials=(trial(0, 0.0),), runs=(run("0000", 0, 0.0),)),
    }


def test_odd_studies_render(study, trial, run):
    for name, view in odd_studies(study, trial, run).items():
        page = without_plotly(render(view))
        assert [section for section in SECTIONS if f'<section id="{section}">' not in page] == [], name
        assert not re.search(r"\b(nan|None|NaT|inf)\b", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)), name


def test_a_study_without_results_says_so_in_every_section(study):
    page = without_plotly(render(study(asked=(), versions=())))
    assert page.count('class="empty"') == len(SECTIONS) - 1
    assert "There is no answer yet" in page


def test_text_of_users_cannot_become_markup(study, trial, run, errors):
    page = without_plotly(render(hostile_study(study, trial, run, errors)))
    assert "<img" not in page
    assert "&lt;img" in page


def hostile_study(study, trial, run, errors):
    trials = (trial(1, 0.9), trial(2, None, "failed", reason=HOSTILE))
    runs = (
        run("0001", 0, 0.9, confusion=errors(0.9), recipe=HOSTILE, device=HOSTILE),
        run(HOSTILE, 0, 0.8, confusion=errors(0.8)),
    )
    return study(
        data=HOSTILE, classes=(HOSTILE, "<b>bold</b>", "&amp;", "a & b", *"efghij"), trials=trials, runs=runs,
        asked=((HOSTILE, HOSTILE),), versions=((HOSTILE, HOSTILE),),
    )  # fmt: skip


def test_a_thousand_trials_stay_under_8_megabytes_and_5_seconds(study, search, realistic):
    view = replace(realistic, trials=search(1000, epochs=30))
    start = time.perf_counter()
    page = render(view)
    assert time.perf_counter() - start < 5
    assert len(page.encode()) < 8_000_000


def test_the_report_never_imports_torch():
    code = "import sys, search.report.page as page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def look(browser, tmp_path):
    """Opens a study's page from a file; returns the page, what its console said and what it asked for."""
    contexts = []

    def open_page(view, **context):
        write_report(view, tmp_path / "report.html")
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        return page, said, asked

    yield open_page
    for context in contexts:
        context.close()


def assert_all_drawn(page):
    places = page.locator(".plotly-graph-div").all()
    empty = [place.get_attribute("data-figure") for place in places if place.locator(".main-svg").count() == 0]
    assert empty == []


def test_a_browser_draws_every_figure_in_silence_and_asks_for_nothing(look, realistic, tmp_path):
    page, said, asked = look(realistic)
    assert page.locator(".plotly-graph-div").count() == 10
    assert_all_drawn(page)
    assert said == []
    assert asked == [(tmp_path / "report.html").as_uri()]
    assert [page.locator(f"section#{section} h2").count() for section in SECTIONS] == [1] * len(SECTIONS)


def test_a_phone_does_not_scroll_sideways(look, realistic):
    page, said, _ = look(realistic, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert_all_drawn(page)
    assert said == []


def test_figures_follow_the_theme(look, realistic):
    page, said, _ = look(realistic, color_scheme="dark")
    # The page's policy forbids eval, and with it wait_for_function; expect polls without.
    expect = pytest.importorskip("playwright.sync_api").expect
    tick = page.locator(".xtick text").first
    expect(tick).to_have_css("fill", "rgb(230, 228, 223)")
    page.emulate_media(color_scheme="light")
    expect(tick).to_have_css("fill", "rgb(34, 37, 42)")
    assert said == []


def test_a_hostile_name_does_nothing_and_is_shown_as_it_is(look, study, trial, run, errors):
    page, said, asked = look(hostile_study(study, trial, run, errors))
    assert said == []
    assert len(asked) == 1
    assert page.locator("img").count() == 0
    assert_all_drawn(page)
    ticks = page.locator("[data-figure=classes-data] .ytick text").all_text_contents()
    assert HOSTILE[:19] + "\N{HORIZONTAL ELLIPSIS}" in ticks
    assert "<b>bold</b>" in ticks
    assert "a & b" in ticks
    assert "&amp;" in ticks


def test_the_pages_own_policy_refuses_a_script_that_got_in(look, realistic):
    page, said, _ = look(realistic)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.ran = 1\">')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in said)


@pytest.mark.slow
def test_odd_studies_draw_without_a_word_on_the_console(look, study, trial, run):
    for name, view in odd_studies(study, trial, run).items():
        page, said, _ = look(view)
        assert said == [], name
        assert_all_drawn(page)
        page.close()
