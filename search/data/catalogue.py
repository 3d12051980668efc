"""The data set that `--data` names: a name looked up in NAS_DATA, a named set, or a path."""

import difflib
import hashlib
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from filelock import FileLock

from search.data.arrays import read_npz
from search.data.decoding import Source
from search.data.sources import find_layout, read_digits
from search.errors import DataError, InputError, StorageError
from search.files import expanded
from search.quantities import brief

# Class names of the named sets, in the order of their labels, for files that do not hold them.
_CLASS_NAMES: Final[dict[str, str]] = {
    "digits": "0,1,2,3,4,5,6,7,8,9",
    "cifar10": "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck",
    "cifar100": (
        "apple,aquarium_fish,baby,bear,beaver,bed,bee,beetle,bicycle,bottle,bowl,boy,bridge,bus,butterfly,camel,"
        "can,castle,caterpillar,cattle,chair,chimpanzee,clock,cloud,cockroach,couch,crab,crocodile,cup,dinosaur,"
        "dolphin,elephant,flatfish,forest,fox,girl,hamster,house,kangaroo,keyboard,lamp,lawn_mower,leopard,lion,"
        "lizard,lobster,man,maple_tree,motorcycle,mountain,mouse,mushroom,oak_tree,orange,orchid,otter,palm_tree,"
        "pear,pickup_truck,pine_tree,plain,plate,poppy,porcupine,possum,rabbit,raccoon,ray,road,rocket,rose,sea,"
        "seal,shark,shrew,skunk,skyscraper,snail,snake,spider,squirrel,streetcar,sunflower,sweet_pepper,table,"
        "tank,telephone,television,tiger,tractor,train,trout,tulip,turtle,wardrobe,whale,willow_tree,wolf,woman,"
        "worm"
    ),
    "fashion-mnist": "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
    "svhn": "0,1,2,3,4,5,6,7,8,9",
}
NAMED: Final = {name: tuple(names.split(",")) for name, names in _CLASS_NAMES.items()}
# Part of every key; raised when a change decodes the same files differently.
_VERSION = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A data set that exists. `key` is a hash that changes with its files; `read` raises DataError."""

    name: str
    key: str
    read: Callable[[], Source]


def look_up(spec: str, downloads: Path) -> Entry:
    """The data set of a name or path, without reading the data.

    Without a separator it is a name: first of a folder or file in NAS_DATA (or of NAS_DATA itself, if its folder has
    this name), then of a named set, and only then of something in the working folder. Thus `./digits` is a folder and
    `digits` is not.

    Raises:
        DataError: there is no such data set, or it cannot be read.
    """
    try:
        path = _in_nas_data(spec)
        if path is None and spec == "digits":
            return Entry(spec, _key(spec, ()), read_digits)
        if path is None and spec in NAMED:
            return Entry(spec, _key(spec, ()), partial(_download, spec, downloads))
        classes = None if path is None else NAMED.get(spec)
        path = path or expanded(spec)
        if not spec.strip() or not path.exists():
            rule = f"must be a path or one of {', '.join(NAMED)}"
            raise DataError(f"data = {spec!r}: no such data set or path{_nearest(spec)}; {rule}")
        path = path.resolve()
        layout = find_layout(path, classes)
        name = spec if classes else safe_name(path.stem if path.is_file() else path.name)
        return Entry(name, _key(f"{name} {str(path)!r} {classes}", layout.files), layout.read)
    except DataError:
        raise
    except (OSError, RuntimeError, InputError) as error:  # a link that leads to itself; a home folder of nobody
        raise DataError(f"data = {spec!r}: cannot be looked up: {brief(error)}; must be a set or a path") from error


def from_anywhere(spec: str) -> str:
    """The same data set for any working folder: a path becomes absolute, a name stays."""
    if spec in NAMED or _in_nas_data(spec) is not None:
        return spec
    return str(expanded(spec).resolve())


def path_of(spec: str) -> Path | None:
    """The absolute path of a data set that `look_up` takes; None if nothing exists there, or if it is a named set that
    is downloaded."""
    try:
        path = _in_nas_data(spec) or (None if spec in NAMED or not spec.strip() else expanded(spec))
        return path.resolve() if path is not None and path.exists() else None
    except (OSError, InputError):  # InputError: there is no such home folder
        return None


def safe_name(name: str) -> str:
    """The name with only letters, digits, '.', '_' and '-', at most 40, so that it can begin a study's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("._-")[:40] or "data"


def _in_nas_data(spec: str) -> Path | None:
    setting = os.environ.get("NAS_DATA", "")
    if not setting or not spec.strip() or spec in (".", "..", "~") or "/" in spec or os.sep in spec:
        return None
    folder = expanded(setting)
    if (folder / spec).exists():
        return folder / spec
    return folder if spec in (folder.name, folder.resolve().name) and folder.is_dir() else None


def _nearest(spec: str) -> str:
    close = difflib.get_close_matches(spec.lower(), NAMED, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _key(source: str, files: Sequence[Path]) -> str:
    lines = [f"version {_VERSION}", source]
    for file in files:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"data = {str(file)!r}: must be a file, as its ending says")
        # A file that takes another's name may have its size and time, as those from one archive do.
        lines.append(f"{str(file)!r} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _download(name: str, downloads: Path) -> Source:
    """The named set, downloaded by torchvision in another process, so that this one never imports torch.

    Raises:
        DataError: it could not be downloaded.
        StorageError: the folder of downloads cannot be written.
    """
    try:
        downloads.mkdir(parents=True, exist_ok=True)
        with FileLock(downloads / f"{name}.lock"):
            command = [sys.executable, "-P", "-m", "search.training.download", name, str(downloads)]
            # On a terminal, torchvision shows the user its progress on stderr.
            errors = None if sys.stderr.isatty() else subprocess.PIPE
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace")
            if done.returncode != 0:
                output = done.stdout.strip() or (done.stderr or "").strip() or f"exit status {done.returncode}"
                advice = "set NAS_DATA to a folder that holds it, or pass a path"
                reason = brief(output.splitlines()[-1])
                raise DataError(f"data = {name!r}: could not be downloaded ({reason}); {advice}")
            archive = downloads / f"{name}.npz"
            source = read_npz(archive, NAMED[name])
            archive.unlink()
            return source
    except OSError as error:
        raise StorageError(f"cannot write {downloads}: {error.strerror or error}; set NAS_CACHE to a folder") from error
