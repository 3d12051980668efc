"""The page in a real browser. Screenshots go to the folder that NAS_ARTIFACTS names, or to build/screenshots."""

import os
import shutil
from pathlib import Path

import pytest

from search.report.page import TEMPLATES, render

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 120_000  # milliseconds: tests share their machine
WIDTHS = (390, 820, 1440)


@pytest.fixture(scope="module")
def browser():
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS), timeout=PATIENCE)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def open_page(browser):
    """Opens a study's page from a file; returns the page, what its console said and what it asked for."""
    contexts = []

    def call(view, path, audit=None, draws=None, **context):
        path.write_text(render(view, audit, draws), encoding="utf-8")
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.route("**/*", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())
        page.goto(path.as_uri())
        return page, said, asked

    yield call
    for context in contexts:
        context.close()


@pytest.fixture
def look(open_page, tmp_path):
    return lambda view, audit=None, **context: open_page(view, tmp_path / "report.html", audit, **context)


@pytest.fixture(scope="module")
def shown(open_page, realistic, audit, draws, tmp_path_factory):
    """The page of a whole study, opened once."""
    return open_page(realistic, tmp_path_factory.mktemp("whole") / "report.html", audit, draws)


@pytest.fixture(scope="module")
def artifacts():
    folder = Path(os.environ.get("NAS_ARTIFACTS") or Path(__file__).parents[3] / "build" / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def assert_all_drawn(page):
    places = page.locator(".plotly-graph-div").all()
    empty = [place.get_attribute("data-figure") for place in places if place.locator(".main-svg").count() == 0]
    assert empty == []


def test_a_browser_shows_every_section_in_silence_and_asks_for_nothing(shown, sections):
    page, said, asked = shown
    names = (*sections.always, *sections.sometimes)
    assert [section for section in names if page.locator(f"section#{section} h2").count() != 1] == []
    assert page.locator(".plotly-graph-div").count() == 16
    assert page.locator("svg.diagram").count() == 3
    assert_all_drawn(page)
    assert said == []
    assert asked == [page.url]


def cells(page, column):
    return page.locator(f"#leaderboard tbody tr:not([hidden]) td:nth-child({column})").all_text_contents()


def heads(page):
    return page.locator("#leaderboard th").all()


def test_the_leaderboard_is_sorted_by_the_head_that_is_pressed(shown):
    page, said, _ = shown
    ranks, parameters = cells(page, 1), [int(text.replace(",", "")) for text in cells(page, 5)]
    assert ranks == [str(rank) for rank in range(1, len(ranks) + 1)]
    head = heads(page)[4]
    head.locator("button").click()
    assert [int(text.replace(",", "")) for text in cells(page, 5)] == sorted(parameters, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert [int(text.replace(",", "")) for text in cells(page, 5)] == sorted(parameters)
    assert [each.get_attribute("aria-sort") for each in heads(page)].count(None) == len(heads(page)) - 1
    heads(page)[0].locator("button").click()
    heads(page)[0].locator("button").click()
    assert cells(page, 1) == ranks
    assert said == []


def test_what_is_missing_comes_last_in_either_order(shown):
    page, _, _ = shown
    for _ in ("descending", "ascending"):
        heads(page)[3].locator("button").click()
        tested = cells(page, 4)
        assert tested[0] == "95.10%"
        assert set(tested[1:]) == {"\N{EN DASH}"}


def test_rows_are_found_by_all_words_and_counted(shown):
    page, said, _ = shown
    everything = cells(page, 8)
    page.get_by_label("Show rows with").fill("BOTTLENECK  k5")
    wanted = [text for text in everything if "bottleneck" in text and "k5" in text]
    assert cells(page, 8) == wanted
    assert 0 < len(wanted) < len(everything)
    count = page.locator("#leaderboard output")
    assert count.text_content() == f"{len(wanted)} of {len(everything)} rows"
    page.get_by_label("Show rows with").fill("no such design")
    assert cells(page, 8) == []
    assert count.text_content() == f"0 of {len(everything)} rows"
    page.get_by_label("Show rows with").fill("")
    assert cells(page, 8) == everything
    assert said == []


@pytest.mark.slow
def test_the_keyboard_reaches_the_summary_first(look, study):
    page, _, _ = look(study())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the summary"
    page.keyboard.press("Enter")
    assert page.url.endswith("#summary")


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_scrolls_sideways_or_cuts_a_text(look, realistic, audit, artifacts, width):
    phone = {"has_touch": True, "is_mobile": True} if width < 600 else {}
    page, said, _ = look(realistic, audit, viewport={"width": width, "height": 900}, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert_all_drawn(page)
    beyond = page.evaluate(
        """() => [...document.querySelectorAll("svg text")].filter((text) => {
            const [own, svg] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
            return own.width > 0 && (own.left < svg.left - 1 || own.right > svg.right + 1);
        }).map((text) => text.textContent)"""
    )
    assert beyond == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=artifacts / f"report-{width}-{scheme}.png", full_page=True)
    assert said == []


@pytest.mark.slow
def test_figures_follow_the_theme(shown):
    page, said, _ = shown
    page.emulate_media(color_scheme="dark")
    # The page's policy forbids eval, and with it wait_for_function; expect polls without.
    tick = page.locator(".xtick text").first
    api.expect(tick).to_have_css("fill", "rgb(230, 228, 223)", timeout=PATIENCE)
    page.emulate_media(color_scheme="light")
    api.expect(tick).to_have_css("fill", "rgb(34, 37, 42)", timeout=PATIENCE)
    assert said == []


@pytest.mark.slow
def test_paper_gets_ink_on_white_and_no_more_of_the_leaderboard_than_is_read(shown, artifacts):
    page, said, _ = shown
    page.emulate_media(color_scheme="dark")
    page.pdf(path=artifacts / "report.pdf", format="A4")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(34, 37, 42)"
    assert page.locator("#leaderboard tbody tr:visible").count() == 20
    assert not page.locator("nav").is_visible()
    page.emulate_media(media="screen", color_scheme="light")
    assert said == []


@pytest.mark.slow
def test_a_hostile_name_does_nothing_and_is_shown_as_it_is(look, hostile):
    page, said, asked = look(hostile)
    assert said == []
    assert len(asked) == 1
    assert page.locator("img").count() == 0
    assert_all_drawn(page)
    ticks = page.locator("[data-figure=classes-data] .ytick text").all_text_contents()
    assert hostile.classes[0][:19] + "\N{HORIZONTAL ELLIPSIS}" in ticks
    assert "<b>bold</b>" in ticks
    assert "a & b" in ticks
    assert "&amp;" in ticks


@pytest.mark.slow
def test_the_pages_own_policy_refuses_a_script_that_got_in(look, study):
    page, said, _ = look(study())
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.ran = 1\">')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in each for each in said)


@pytest.mark.slow
def test_odd_studies_draw_without_a_word_on_the_console(look, study, odd_studies):
    """One after the other in one page: Plotly, most of what a page is and takes, is read once."""
    page, said, _ = look(study())
    scripts = [(TEMPLATES / name).read_text() for name in ("draw.js", "sort.js")]
    for name, view in odd_studies.items():
        body, _, _ = render(view).partition("<body>")[2].partition("<script>")
        page.evaluate("body => { document.body.innerHTML = body }", body)
        for script in scripts:
            page.evaluate(script)
        assert said == [], name
        assert page.locator(".plotly-graph-div").count() == body.count("plotly-graph-div"), name
        assert_all_drawn(page)
