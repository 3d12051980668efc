import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search.report.findings import find
from search.report.page import TEMPLATES, follow, is_over, render
from search.report.summary import facts
from studies import make_audit


def without_scripts(page: str) -> str:
    """The page without plotly.js and the figures' data: a failing assertion should not print five megabytes."""
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


@pytest.fixture(scope="module")
def whole(realistic, audit, draws):
    """The page of a whole study, with everything that it can have."""
    return render(realistic, audit, draws, [1_000_000])


@pytest.fixture(scope="module")
def markup(whole):
    return without_scripts(whole)


def test_the_same_study_gives_the_same_page(realistic, audit, draws, whole):
    # Compared as a value: pytest would explain a difference of five megabytes for minutes.
    same = render(realistic, audit, draws, [1_000_000]) == whole
    assert same


def test_the_page_is_whole_and_holds_plotly_once(whole):
    assert whole.count("plotly.js v") == 1
    assert whole.rstrip().endswith("</html>")


def test_the_page_asks_for_nothing_from_elsewhere(markup):
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", markup)
    assert "@import" not in markup
    assert "url(" not in markup


def test_every_figure_has_a_text_and_every_table_a_caption(markup):
    captions = re.findall(r'<figcaption id="[\w-]+">(.+?)</figcaption>', markup)
    assert len(captions) == markup.count('class="plotly-graph-div"') == 16
    assert all(len(caption) > 40 for caption in captions)
    assert markup.count("<table") == markup.count("<caption>") == 25


class Outline(HTMLParser):
    """Headings in order, and ids, and which ids are referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("aria-labelledby", "for"):
                self.references += (value or "").split()
            elif name == "href" and (value or "").startswith("#"):
                self.references.append((value or "")[1:])


def test_headings_are_in_order_and_every_reference_has_its_place(markup, sections):
    outline = Outline()
    outline.feed(markup)
    assert outline.headings.count(1) == 1 and outline.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.references) <= set(outline.ids)
    assert {*sections.always, *sections.sometimes} <= set(outline.references)


def luminance(color: str) -> float:
    """Of a colour as #rrggbb, by WCAG 2."""
    shares = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.03928 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_stands_out_from_the_page_by_day_and_by_night():
    style = (TEMPLATES / "style.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", theme)) for theme in (light, dark)]
    for colors in (themes[0], themes[0] | themes[1]):
        text = [(ink, paper) for ink in ("ink", "soft", "link", "warn") for paper in ("paper", "tint")]
        assert min(contrast(colors[ink], colors[paper]) for ink, paper in text) >= 4.5
        shapes = [contrast(colors[name], colors["paper"]) for name in ("basic", "bottleneck", "end")]
        assert min(shapes) >= 3


def test_the_summary_answers_in_one_sentence_with_its_interval(markup):
    (answer,) = re.findall(r'<p class="conclusion">(.+?)</p>', markup)
    assert re.fullmatch(
        r"The best network found is right on 95\.10% of the test images \(95% interval 94\.94% to 95\.26%, 3 seeds\), "
        r"with [\d,]+ parameters, \d+\.\d% of the budget of [\d,]+\.",
        answer,
    )
    assert "Beside baselines that were trained alike it is better than resnet20-b by 3.25 points" in markup
    assert "Which network of at most 5,000,000 parameters classifies cifar10 best?" in markup
    assert "0 of them over budget" in markup


def test_only_a_page_of_a_search_that_goes_on_loads_itself_again(study):
    assert '<meta http-equiv="refresh" content="7">' in render(study(), refresh=7)
    assert 'http-equiv="refresh"' not in without_scripts(render(study()))


def test_the_commands_and_the_plan_are_there_to_do_it_again(study):
    command = "nas search --study x --data '<b>' --space space.yaml"
    page = without_scripts(render(study(commands=(command,), plan="budget: 1 # </pre>\n")))
    shown = re.sub(r"<[^>]+>", "", re.findall(r'<pre class="commands">(.*?)</pre>', page, flags=re.DOTALL)[0])
    assert shown.strip() == command.replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")
    assert "budget: 1 # &lt;/pre&gt;" in page


def test_no_line_ends_within_an_option(study, trial):
    page = without_scripts(render(study(trials=(trial(0, 0.9),), max_macs=320 * 5_000_000)))
    assert '<span class="option">--limit</span> macs=none lifts it) were searched' in page


def test_odd_studies_render(odd_studies, sections):
    for name, view in odd_studies.items():
        page = without_scripts(render(view))
        assert [section for section in sections.always if f'<section id="{section}">' not in page] == [], name
        shown = re.sub(r"<style.*?</style>", "", page, flags=re.DOTALL)
        assert re.findall(r"\b(?:nan|None|NaT|inf)\b", shown) == [], name


def test_a_study_without_results_says_so_in_every_section(study):
    page = without_scripts(render(study(asked=(), versions=())))
    parts = re.findall(r'<section id="(\w+)">(.*?)</section>', page, flags=re.DOTALL)
    assert [name for name, content in parts if 'class="empty"' not in content] == ["summary"]
    assert "There is no answer yet" in page


def test_an_audit_is_not_denied(study, search):
    trials = search(20)
    view = study(trials=trials, num_trials=20, proxy=make_audit(trials))
    page = without_scripts(render(view))
    assert (
        "No finalist and no final run of this study has been trained yet" in page
        and "trained at full length yet" not in page
    )
    (fact,) = [fact for fact in facts(find(view)) if fact.term == "Retraining time"]
    assert fact.value != "none" and fact.note == f"{len(view.proxy)} runs"


def test_without_a_complete_trial_no_command_is_offered_that_would_be_refused(study):
    page = without_scripts(render(study(trials=())))
    assert (
        "No finalist and no final run of this study has been trained yet.</p>" in page
        and "trains the best trial" not in page
    )


def test_text_of_users_cannot_become_markup(hostile):
    page = without_scripts(render(hostile))
    assert "<img" not in page
    assert "&lt;img" in page


@pytest.mark.parametrize(("number", "megabytes"), [(1_000, 8), pytest.param(10_000, 15, marks=pytest.mark.slow)])
def test_a_large_study_is_a_page_of_bounded_size(search, realistic, number, megabytes):
    page = render(replace(realistic, trials=search(number, epochs=30)))
    assert len(page.encode()) < megabytes * 1_000_000


def test_the_report_never_imports_torch():
    code = "import sys, search.report.page as page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_template_is_part_of_the_package():
    assert {path.name for path in Path(TEMPLATES).iterdir()} == {
        "page.html", "macros.html", "style.css", "draw.js", "sort.js",
    }  # fmt: skip


def test_a_search_is_over_when_all_trials_are_trained_and_none_is_running(study, trial):
    two = (trial(0), trial(1, 0.2, "pruned"))
    assert not is_over(study(num_trials=3, trials=two))
    assert not is_over(study(num_trials=3, trials=(*two, trial(2, None, "failed"))))
    assert not is_over(study(num_trials=2, trials=(*two, trial(2, None, "running"))))
    assert is_over(study(num_trials=2, trials=two))
    assert not is_over(study(num_trials=None, by_time=True, trials=two))
    assert is_over(study(num_trials=2, by_time=True, trials=two))


def test_what_goes_on_is_read_again_until_it_is_over(study, trial):
    views = iter([study(num_trials=1), study(num_trials=1, trials=(trial(0, None, "running"),)),
                  study(num_trials=1, trials=(trial(0),)), study()])  # fmt: skip
    pauses = []
    seen = list(follow(lambda: next(views), 7, pauses.append))
    assert [more for _, more in seen] == [True, True, False]
    assert seen[-1][0].trials[0].state == "complete"
    assert pauses == [7, 7]


def test_slow_work_makes_longer_pauses(study):
    times = iter([0.0, 5.0, 10.0])  # it begins, has taken five seconds, begins again
    views, pauses = iter([study(num_trials=1), study(num_trials=0)]), []
    list(follow(lambda: next(views), 2, pauses.append, lambda: next(times)))
    assert pauses == [20]


def test_what_comes_next_fits_the_trials_there_are(study, trial):
    one, two = (without_scripts(render(study(trials=tuple(map(trial, range(number)))))) for number in (1, 2))
    assert "top 1" in one and "top 2" not in one and "top 9" not in one
    assert "top 2" in two and "top 9" not in two
