"""The Parquet files of a data set, and their parts, as the Hugging Face hub lays them out. None may be missing.

train-00000-of-00002.parquet    in the folder itself, or in data, or in that of a configuration, such as plain_text
train/0000.parquet              in the same places; the hub's own conversions are in default/train
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from search.data.folders import count_unused, remark_unused, visible, visible_folders
from search.data.remarks import remark
from search.data.splits import TEST_NAMES
from search.errors import DataError

PARTS = ("train", *TEST_NAMES)
NAMES_SHOWN = 3  # of missing files

# The hub's loader takes these as descriptions of images that are files.
_DESCRIPTIONS = frozenset({"metadata.parquet"})
_NUMBERED = re.compile(r"(?P<name>.*?\D)(?P<number>\d+)")
# What a browser, Windows and macOS call what is there already.
_COPY = re.compile(r"(?P<name>.+?)(?: \(\d+\)| - Copy(?: \(\d+\))?| copy(?: \d+)?)")
_SHARD = re.compile(r"(?P<name>.*?)(?P<number>\d+)(?P<of>[-_]of[-_])(?P<total>\d+)(?P<rest>.*)")


def parquet_files(path: Path) -> list[Path]:
    """The Parquet file at a path, or those of the data set in the folder there, sorted; none if it has none.

    Raises:
        DataError: there are several data sets in the folder, or something else has the name of a Parquet file.
        OSError: a folder cannot be read.
    """
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            return []
        shard = _SHARD.fullmatch(path.stem)
        if shard is not None and int(shard["total"]) > 1:
            remark(path, f"is one of {int(shard['total']):,} shards; the others are not used")
        return [path]
    if not path.is_dir():
        return []
    folders = visible_folders(path)
    roots = [path, *(folder for folder in folders if folder.name == "data")]
    for root in roots:
        if files := _tables(root):
            return files
    inner = [folder for root in roots for folder in visible_folders(root) if folder.name.lower() not in PARTS]
    sets = {folder: files for folder in inner if (files := _tables(folder)) and any(map(part_of, files))}
    if len(sets) > 1:
        names, example = ", ".join(str(folder.relative_to(path)) for folder in sets), str(next(iter(sets)))
        rule = f"pass one of them, such as {example!r}"
        raise DataError(f"data = {str(path)!r}: holds several data sets: {names}; {rule}")
    return next(iter(sets.values()), [])


def part_of(file: Path) -> str | None:
    """The part of a data set that a file is of by its name, or else by its folder's; None if neither says."""
    parts = {word for word in re.split(r"[-_. ]+", file.stem.lower()) if word in PARTS}
    if len(parts) == 1:
        return parts.pop()
    folder = file.parent.name.lower()
    return folder if not parts and folder in PARTS else None


def by_part(files: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """The files of each part, without those that are of none. Beside train, train_small is another set, not a part of
    it."""
    parts: defaultdict[str, tuple[Path, ...]] = defaultdict(tuple)
    for file in files:
        if part := part_of(file):
            parts[part] += (file,)
    for part, all_files in parts.items():
        own = tuple(file for file in all_files if _series(file) in (part, ""))
        parts[part] = own or all_files
    return dict(parts)


def _series(file: Path) -> str:
    """What the files of a series are all called, before their numbers: train for train-00000-of-00002 and train2;
    nothing where they are numbers alone."""
    stem = file.stem
    for pattern in (_COPY, _SHARD, _NUMBERED):
        found = pattern.fullmatch(stem)
        stem = found["name"] if found is not None else stem
    return "" if stem.isdecimal() else stem.rstrip("-_. ").lower()


def require_whole(files: Sequence[Path]) -> None:
    """Require that the files of one part are all there, and of one making, as far as their names tell.

    Raises:
        DataError: a shard is missing or there twice, or shards of different numbers, copies, or other files, are among
            them.
    """
    for file in files:
        copy = _COPY.fullmatch(file.stem)
        if copy is not None and (original := file.with_stem(copy["name"])) in files:
            raise DataError(f"data = {str(file)!r}: is a copy of {original.name} by its name; keep one of them")
    makings: dict[tuple[Path, bool], Path] = {}
    shards: defaultdict[tuple[Path, str], list[re.Match[str]]] = defaultdict(list)
    for file in files:
        shard = _SHARD.fullmatch(file.stem)
        makings.setdefault((file.parent, shard is None), file)
        if shard is not None:
            shards[file.parent, shard["name"]].append(shard)
    if len(makings) > 1:
        first, second, *_ = makings.values()
        raise DataError(f"data = {str(second)!r}: is not of the same making as {str(first)!r}; keep the files of one")
    for (folder, name), numbered in shards.items():
        where, totals = f"data = {str(folder)!r}", Counter(int(shard["total"]) for shard in numbered)
        if len(totals) > 1:
            counts = " and ".join(f"{count} of {total}" for total, count in sorted(totals.items()))
            rule = f"{name.rstrip('-_.')} shards of different makings are mixed ({counts}); keep those of one"
            raise DataError(f"{where}: {rule}")
        (total,) = totals
        _require_all(
            where, Counter(int(shard["number"]) for shard in numbered), total, partial(_name_like, numbered[0])
        )
    numbers = Counter(int(file.stem) for file in files if file.stem.isdecimal())
    if numbers:
        _require_all(f"data = {str(files[0].parent)!r}", numbers, max(numbers) + 1, "{:04}.parquet".format)
    _remark_gaps(files)


def _remark_gaps(files: Sequence[Path]) -> None:
    """Tell the user which numbers are left out in names that begin alike, as train-0 and train-2, and do not say how
    many there are."""
    series: defaultdict[tuple[Path, str], set[int]] = defaultdict(set)
    for file in files:
        if numbered := _NUMBERED.fullmatch(file.stem):
            series[file.parent, numbered["name"]].add(int(numbered["number"]))
    for (folder, name), numbers in series.items():
        first, last = min(numbers), max(numbers)
        num_missing = last - first + 1 - len(numbers)
        if num_missing and first <= 1:  # train2019 and train2021 count nothing
            example = next(number for number in range(first, last) if number not in numbers)
            are = "is" if num_missing == 1 else "are"
            between = f"of {name}{first} to {name}{last}, {num_missing:,} {are} not there"
            remark(folder, f"{between}, such as {name}{example}")


def _name_like(shard: re.Match[str], number: int) -> str:
    """The name of another shard, but for what may follow its number."""
    return f"{shard['name']}{number:0{len(shard['number'])}}{shard['of']}{shard['total']}.parquet"


def remark_unused_files(path: Path, files: Iterable[Path], used: Sequence[Path]) -> None:
    """Tell the user which Parquet files and what else of the folder `path` are not used."""
    left_out = [file for file in files if file not in used]
    unused = Counter(
        f"Parquet of {(_series(file) or part_of(file)) if part_of(file) else 'no part'}" for file in left_out
    )
    if path.is_dir():
        on_the_way = {folder for file in used for folder in file.parents if folder.is_relative_to(path)}
        with_files = {folder for file in files for folder in file.parents}
        entries = {entry for folder in on_the_way for entry in visible(folder)}
        unused += count_unused(sorted(entries - with_files - {*files}))
    remark_unused(path, unused)


def _tables(folder: Path) -> list[Path]:
    """The Parquet files in a folder, and in the folders there that are called like parts and hold no more folders."""
    files = [file for file in visible(folder, ".parquet") if _is_parquet(file)]
    for inner in visible_folders(folder):
        if inner.name.lower() in PARTS and not visible_folders(inner):
            files += filter(_is_parquet, visible(inner, ".parquet"))
    return files


def _is_parquet(path: Path) -> bool:
    """Whether what is called like a Parquet file holds data.

    Raises:
        DataError: it is no file.
    """
    if path.name.lower() in _DESCRIPTIONS:
        return False
    if not path.is_file():
        raise DataError(f"data = {str(path)!r}: must be a file, as its ending says")
    return True


def _require_all(where: str, numbers: Mapping[int, int], total: int, name: Callable[[int], str]) -> None:
    """Require that each number from 0 to `total` - 1, or from 1 to `total`, is there once. `name` names its file.

    Raises:
        DataError: it is not; those that are missing are named.
    """
    twice = [number for number, count in numbers.items() if count > 1]
    if twice:
        raise DataError(f"{where}: {name(min(twice))} is there {numbers[min(twice)]} times; must be there once")
    first = 0 if 0 in numbers or total not in numbers else 1
    expected = range(first, first + total)
    num_missing = total - sum(number in expected for number in numbers)
    if num_missing:
        missing = islice((number for number in expected if number not in numbers), NAMES_SHOWN)
        names = ", ".join(map(name, missing))
        more = f" and {num_missing - NAMES_SHOWN:,} more" if num_missing > NAMES_SHOWN else ""
        raise DataError(f"{where}: {names}{more} missing; must hold all shards")
