"""What the pages name exists: links, commands and their options, make targets, files."""

import re
import shlex
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer

from search.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "studies/README.md", ROOT / "benchmarks/README.md", *DOCS]
NAS: Any = typer.main.get_command(app)
MOST_BYTES = 9_000  # of the README

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}.*$", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
# A command begins in lower case; what is in upper case is a placeholder.
COMMAND = re.compile(r"(?:^|[\s/(])nas +(?=[a-z-])(.*)$")
TARGET = re.compile(r"(?:^|\s)make +([a-z][\w-]*)")
PATH = re.compile(r"(?<![\w./~-])(?:search|models|benchmarks|docs|tests)/[\w./*-]*")
SEPARATOR = re.compile(r"[&|;]+")
FOREIGN_OPTIONS = {"--dashboard-host", "--no-kill", "--requeue"}  # of Ray and Slurm


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def path_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(text: str) -> str:
    """The page without its blocks of code."""
    return INDENTED.sub("", FENCED.sub("", text))


def spans(text: str) -> list[str]:
    """Code within the prose."""
    return [" ".join(span.split()) for span in SPAN.findall(prose(text))]


def code(text: str) -> list[str]:
    """Code within the prose, and lines of blocks, those that are continued as one."""
    blocks = [*FENCED.findall(text), *INDENTED.findall(FENCED.sub("", text))]
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [*spans(text), *lines]


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        plain = LINK.sub(lambda link: link[0].partition("]")[0], heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = next(number for number in count() if with_number(name, number) not in found)
        found.add(with_number(name, number))
    return found


def with_number(name: str, number: int) -> str:
    """The second heading of a name has a 1 behind it."""
    return f"{name}-{number}" if number else name


def broken_links(text: str, page: Path) -> list[str]:
    """Links of a page to files or headings that are not there. Those that leave the repository are not followed."""
    broken = []
    for link in LINK.findall(FENCED.sub("", text)):
        place, _, anchor = link.partition("#")
        if "://" in place:
            continue
        target = page.parent / place if place else page
        headings = anchors(read(target) if place else text) if anchor and target.is_file() else set()
        if not target.exists() or (anchor and anchor not in headings):
            broken.append(link)
    return broken


def options(command: Any) -> set[str]:
    """What a command takes, or `nas` itself."""
    names = {name.strip() for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return {name for name in names if name.startswith("-")} | {"--help", "--debug", "--version"}


def all_options(command: Any) -> set[str]:
    """What a command takes, or any that is in it."""
    return options(command).union(*map(all_options, getattr(command, "commands", {}).values()))


def wrong_commands(text: str) -> list[str]:
    """Uses of `nas` with a command, or an option of a command, that it does not have."""
    return [f"nas {use}: {wrong}" for use in uses(text) for wrong in faults(use)]


def uses(text: str) -> Iterator[str]:
    """What follows `nas`, up to the end of the command."""
    for line in code(text):
        for part in SEPARATOR.split(line):
            if match := COMMAND.search(part):
                yield match[1]


def faults(use: str) -> Iterator[str]:
    """What one use names and `nas` does not have."""
    words = shlex.split(use, comments=True)
    command = NAS
    while words and words[0] in (known := getattr(command, "commands", {})):
        command = known[words.pop(0)]
    if words and hasattr(command, "commands") and not words[0].startswith("-"):
        yield f"no command {words[0]}"
        return
    for word in words:
        if word.startswith("-") and (name := word.partition("=")[0]) not in options(command):
            yield f"no option {name}"


def wrong_options(text: str) -> list[str]:
    """Options that stand alone in the prose, as in `--top 3`, and that no command has."""
    known = all_options(NAS) | FOREIGN_OPTIONS
    return [span for span in spans(text) if span.startswith("--") and re.split(r"[ =]", span)[0] not in known]


def wrong_targets(text: str) -> list[str]:
    """Targets of make that the Makefile does not have."""
    known = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return [target for line in code(text) for target in TARGET.findall(line) if target not in known]


def missing_files(text: str) -> list[str]:
    """Paths into the repository at which nothing lies."""
    paths = [path.rstrip(".") for line in code(text) for path in PATH.findall(line)]
    return [path for path in paths if not any(ROOT.glob(path))]


def is_too_long(text: str) -> bool:
    return len(text.encode()) > MOST_BYTES


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(read(page), page)


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_every_command_and_its_options_exist(page: Path) -> None:
    assert not wrong_commands(read(page))


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "benchmarks"], ids=path_of)
def test_every_option_in_the_prose_exists(page: Path) -> None:
    assert not wrong_options(read(page))


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_every_target_of_make_exists(page: Path) -> None:
    assert not wrong_targets(read(page))


@pytest.mark.parametrize("page", PAGES, ids=path_of)
def test_every_file_of_the_repository_exists(page: Path) -> None:
    assert not missing_files(read(page))


def test_the_readme_is_short_and_links_every_page() -> None:
    text = read(ROOT / "README.md")
    assert not is_too_long(text)
    assert {path_of(page) for page in DOCS} <= set(LINK.findall(text))


@pytest.mark.parametrize("page", DOCS, ids=path_of)
def test_a_page_begins_with_the_question_that_it_answers(page: Path) -> None:
    first = read(page).splitlines()[0]
    assert first.startswith("# ") and first.endswith("?")


def test_the_pages_have_something_to_check() -> None:
    together = "\n".join(map(read, PAGES))
    assert len(LINK.findall(together)) > 40
    assert len(list(uses(together))) > 40
    assert len([path for line in code(together) for path in PATH.findall(line)]) > 10


# Every check can fail, and says what is wrong.

FENCE = "```sh\n{}\n```\n"


@pytest.mark.parametrize(
    "text", ["[a](missing.md)", "[a](../docs/missing.md#a)", "# A\n[a](#b)", "[a](README.md#no-such-heading)"]
)
def test_a_broken_link_is_found(text: str) -> None:
    assert len(broken_links(text, ROOT / "README.md")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs)",
        "[a](README.md#the-house)",
        "# A `b`, c\n## A\n## A\n[a](#a-b-c) [a](#a) [a](#a-1)",
        "[a](https://example.org/nothing)",
        FENCE.format("[a](missing.md)"),
    ],
)
def test_a_link_that_leads_somewhere_is_not(text: str) -> None:
    assert not broken_links(text, ROOT / "README.md")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`nas serach --budget 5M`", "no command serach"),
        ("`nas baseline lost`", "no command lost"),
        ("`nas search --bugdet 5M`", "no option --bugdet"),
        ("`nas search\n--bugdet=5M`", "no option --bugdet"),
        ("`nas trials --budget 5M`", "no option --budget"),
        ("`nas baseline list --seeds 3`", "no option --seeds"),
        (FENCE.format("A=1 .venv/bin/nas search --budget 5M \\\n    --nothing & b=$!"), "no option --nothing"),
        (FENCE.format("entrypoint: nas serach"), "no command serach"),
        ("\n    nas search --nothing\n", "no option --nothing"),
        ("`nas --nothing`", "no option --nothing"),
        ("`nas --budget 5M`", "no option --budget"),
        (FENCE.format("nas report && nas serach"), "no command serach"),
    ],
)
def test_a_wrong_command_is_found(text: str, wrong: str) -> None:
    (found,) = wrong_commands(text)
    assert found.endswith(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "`nas`, `nas COMMAND --help`, `nas baseline` and `nas --help`",
        "`nas search --no-warm-start --debug ...`",
        "`nas retrain --trial 42 --baseline NAME`",
        FENCE.format("nas search --budget 5M | grep --count best    # --nothing"),
        FENCE.format("name: nas\nimage: example.org/nas:1\nkubectl delete rayjob nas"),
        "nas serach, outside of code",
    ],
)
def test_a_right_command_is_not(text: str) -> None:
    assert not wrong_commands(text)


@pytest.mark.parametrize("text", ["`--nothing`", "`--bugdet 5M`", "`--buget=5M`"])
def test_a_wrong_option_is_found(text: str) -> None:
    assert len(wrong_options(text)) == 1


@pytest.mark.parametrize("text", ["`--budget 5M`", "`--no-warm-start`", "`--help`", "`--no-kill`", "--nothing"])
def test_a_right_option_is_not(text: str) -> None:
    assert not wrong_options(text)


@pytest.mark.parametrize("text", ["`make demon`", FENCE.format("make demon   # a comment")])
def test_a_wrong_target_is_found(text: str) -> None:
    assert wrong_targets(text) == ["demon"]


def test_a_right_target_is_not() -> None:
    assert not wrong_targets("`make demo`; make something of it" + FENCE.format("make test-all"))


@pytest.mark.parametrize(
    "text", ["`search/nothing.py`", "`docs/*.txt`", FENCE.format("python benchmarks/nothing.py --seeds 3")]
)
def test_a_missing_file_is_found(text: str) -> None:
    assert len(missing_files(text)) == 1


@pytest.mark.parametrize("text", ["`search/cli/`", "`docs/*.md`", "`/tmp/models/x.py`, `a/search/b`", "models/nothing"])
def test_a_file_that_is_there_is_not(text: str) -> None:
    assert not missing_files(text)


def test_a_page_that_is_too_long_is_found() -> None:
    assert is_too_long("ö" * 4_501) and not is_too_long("ö" * 4_500)
