"""Data sets that have no name in `sets`: a function, arrays in a file, Parquet, torchvision's.

The text of such a data set says its form and its place. Each form has a reader in a file of its
name, with `SIZE` and `read(root, download)` as in `sets`. Its root is the place of the data set:
a file, "file.py:function", a folder, or a name of torchvision below the folder of data sets.
"""

from pathlib import Path

from evil_twins.bench import printable
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.subjects import sets
from evil_twins.bench.subjects.forms.names import TORCHVISION
from evil_twins.bench.subjects.parts import name_of
from evil_twins.bench.subjects.place import data_folder

READERS = ("function", "npz", "parquet", "torchvision")

EXAMPLES = {
    "mine.py:load": "a function in a file that returns arrays",
    "mine.npz": "arrays x_train, y_train, x_test and y_test",
    "images.parquet": "images and labels; or a folder of train*.parquet and test*.parquet",
    "torchvision:CIFAR100": f"or {', '.join(n for n in TORCHVISION if n != 'CIFAR100')}",
}
"""Example of each form -> its meaning."""


def absolute(text: str, folder: Path) -> str:
    """Check the form of a data set, and return it with an absolute path.

    Args:
        text: A name of `sets`, or a data set in one of the forms.
        folder: The folder that a relative path starts from.

    Raises:
        UserError: It is of no form, or torchvision's data set is none of those that are read.
    """
    form = _form(text, folder)
    if form in ("", "torchvision"):
        return text
    if form == "function":
        file, _, function = text.rpartition(":")
        return f"{_place(file, folder).resolve()}:{function}"
    return str(_place(text, folder))


def located(text: str, root: Path | None) -> tuple[str, Path | None]:
    """Return the reader of a data set and its root.

    Args:
        text: A name of `sets`; a data set in one of the forms, relative to the working directory;
            or the name of a reader, whose root is the place.
        root: The folder of data sets, or None.

    Raises:
        UserError: As `absolute`.
    """
    if text in sets.names() or (text in READERS and root is not None):
        return text, root
    place, form = absolute(text, Path.cwd()), _form(text, Path.cwd())
    if form == "torchvision":
        return form, data_folder(root) / text.partition(":")[2]
    return form, Path(place)


def module(reader: str) -> str:
    """Return the module of one of `READERS`."""
    return f"{__name__}.{reader}"


def record_name(reader: str, root: Path | None) -> str:
    """Return the name of a data set in records and in the hash of its order: without a path."""
    if reader not in (*READERS, "folder"):
        return reader
    place = Path(root or "").resolve()
    if reader == "folder":
        return f"folder:{name_of(place.name)}"
    file, _, function = place.name.rpartition(":")
    title = f"{Path(file).stem}.{function}" if reader == "function" else place.name
    return f"{reader}:{printable.name(name_of(title.removesuffix(f'.{reader}')))}"


def code_file(text: str) -> Path | None:
    """Return the file of a data set that is a function, or None; the text is that of `absolute`."""
    return Path(text.rpartition(":")[0]) if _form(text, Path.cwd()) == "function" else None


def _place(text: str, folder: Path) -> Path:
    return (folder / Path(text).expanduser()).absolute()


def _form(text: str, folder: Path) -> str:
    """Return the reader of a data set that is none of `sets`, or "".

    Raises:
        UserError: It is of no form.
    """
    file, _, name = text.rpartition(":")
    if text in sets.names():
        return ""
    if file == "torchvision":
        if name not in TORCHVISION:
            raise unknown("data set of torchvision", name, TORCHVISION)
        return "torchvision"
    if file.endswith(".py") and name.isidentifier():
        return "function"
    if text.endswith(".py"):
        raise UserError(
            f"data set {text!r} is a file, not the function in it",
            f"remedy: {text}:load, with the name of a function that returns images and labels",
        )
    if text.endswith((".npz", ".parquet")):
        return text.rpartition(".")[2]
    if text and (place := _place(text, folder)).is_dir():
        return "parquet" if [*place.glob("*.parquet"), *place.glob("data/*.parquet")] else "folder"
    forms = "mine.npz, images.parquet, a folder of train*.parquet and test*.parquet"
    raise UserError(
        *str(unknown("data set", text, sets.names())).splitlines(),
        f"or yours: mine.py:load (a function that returns arrays), {forms}, torchvision:CIFAR100",
    )
