"""Every place that opens, creates or removes a file: through `store/files.py`, or with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
GUARD = "bench/store/files.py"
SOURCES = [
    p for room in ("api", "attacks", "bench", "detectors") for p in ROOT.glob(f"{room}/**/*.py")
]

READERS = {
    *("open", "read_text", "read_bytes", "read_csv", "read_parquet", "read_table", "ParquetFile"),
    *("load_file", "safe_open", "read_json", "fromfile", "memmap", "loadtxt", "genfromtxt"),
    *("ImageFolder", "DatasetFolder", "ZipFile", "read_image", "decode_image"),
}
WRITERS = {
    *("write_text", "write_bytes", "save_file", "ParquetWriter", "to_parquet"),
    *("savefig", "touch", "tofile", "savetxt", "imsave", "mkstemp", "mkdtemp"),
    *("TemporaryDirectory", "NamedTemporaryFile", "mkdir", "makedirs", "mkfifo", "symlink_to"),
    *("hardlink_to", "symlink", "truncate", "chmod", "utime"),
}
REMOVERS = {"unlink", "rmtree", "rmdir", "removedirs", "renames"}
COPIERS = {"copyfile", "copy2", "copytree", "copyfileobj", "copymode", "copystat", "make_archive"}
NAMES = READERS | WRITERS | REMOVERS | COPIERS
OF_MODULES = {
    *("np.load", "np.save", "np.savez", "numpy.load", "torch.load", "torch.save", "os.remove"),
    *("os.rename", "os.replace", "os.link", "shutil.copy", "shutil.move", "pq.write_table"),
}
ONE_ARGUMENT = {"rename", "replace"}
"""Methods of paths with one argument; texts and frames have methods of these names with others."""
OF_FRAMES = {"to_csv", "to_json"}
"""Methods that write a file if they have an argument without a name."""
GUARDS = {"opened", "creating", "lock_file"}

PROGRAM = "a file of the program itself"
SYSTEM = "a file of the system"
SCRATCH = "a new temporary folder of this process"
CODE = "the code of a plug-in, which may do everything"
REASONS = {
    ("bench/analysis/claims/rules.py", "read_text"): PROGRAM,
    ("bench/analysis/page/archive.py", "ZipFile"): "bytes in memory",
    ("bench/analysis/page/classes.py", "read_text"): PROGRAM,
    ("bench/analysis/page/glossary.py", "read_text"): PROGRAM,
    ("bench/analysis/page/render.py", "read_text"): PROGRAM,
    ("bench/analysis/paper.py", "read_text"): PROGRAM,
    (
        "bench/analysis/plots/canvas.py",
        "savefig",
    ): "a file that the caller names, as matplotlib does",
    ("bench/components/plugin.py", "read_bytes"): CODE,
    ("bench/components/source_code.py", "open"): CODE,
    ("bench/run/cores.py", "read_text"): SYSTEM,
    ("bench/run/streams.py", "open"): SYSTEM,
    ("bench/run/verify.py", "TemporaryDirectory"): SCRATCH,
    ("bench/run/verify.py", "mkdir"): SCRATCH,
    ("bench/store/parquet.py", "ParquetFile"): "bytes that the guard read",
    ("bench/store/provenance.py", "read_text"): SYSTEM,
    ("bench/store/provenance.py", "write_text"): SYSTEM,
    ("bench/store/temporaries.py", "read_text"): SYSTEM,
    ("bench/subjects/forms/npz.py", "open"): "a member of an archive that the guard opened",
    ("bench/subjects/forms/parquet.py", "ParquetFile"): "bytes that the guard read",
    ("bench/subjects/image_files.py", "open"): "bytes that the guard read",
    ("bench/subjects/treatments.py", "open"): "a JPEG in memory",
    ("api/checking.py", "TemporaryDirectory"): SCRATCH,
    ("api/evaluation.py", "mkdtemp"): SCRATCH,
    ("api/evaluation.py", "rmtree"): SCRATCH,
    ("bench/run/data_of_call.py", "savez"): "into memory",
    ("bench/subjects/sets/fashion_mnist.py", "TemporaryDirectory"): SCRATCH,
    ("bench/subjects/sets/fashion_mnist.py", "mkdir"): SCRATCH,
    ("bench/subjects/sets/fashion_mnist.py", "write_bytes"): SCRATCH,
}
"""Calls outside of the guard, with the reason why each is safe."""


def _name(call: ast.Call) -> str:
    """Return the name of a call that handles a file, or an empty text."""
    function = call.func
    if isinstance(function, ast.Name):
        return function.id if function.id in NAMES else ""
    if not isinstance(function, ast.Attribute):
        return ""
    if f"{ast.unparse(function.value)}.{function.attr}" in OF_MODULES or function.attr in NAMES:
        return function.attr
    single = len(call.args) == 1 and not call.keywords
    path = (function.attr in ONE_ARGUMENT and single) or (function.attr in OF_FRAMES and call.args)
    return function.attr if path else ""


def _guarded(block: ast.With) -> Iterator[str]:
    """Yield the names that a block binds to files or drafts of the guard."""
    for item in block.items:
        call, name = item.context_expr, item.optional_vars
        if not isinstance(call, ast.Call) or not isinstance(name, ast.Name):
            continue
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr in GUARDS:
            yield name.id


def doors(tree: ast.AST, safe: frozenset[str] = frozenset()) -> Iterator[tuple[int, str]]:
    """Yield line and name of every call that handles a file and not what the guard gave."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and (name := _name(node)):
            parts = [node.func, *node.args, *(word.value for word in node.keywords)]
            used = {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}
            if not used & safe:
                yield node.lineno, name
        inner = safe | set(_guarded(node)) if isinstance(node, ast.With) else safe
        yield from doors(node, frozenset(inner))


@pytest.mark.parametrize(
    "code",
    [
        "open(path)",
        "path.read_text()",
        "path.replace(other)",
        "np.load(path)",
        "pq.ParquetFile(path)",
        "frame.to_csv(path)",
        "with files.opened(path, root) as file: load_file(path)",
        "with other.opened() as file: ...\nload_file(file)",
        "shutil.rmtree(folder)",
        "from_here.unlink(missing_ok=True)",
    ],
)
def test_a_door_is_noticed(code: str) -> None:
    assert list(doors(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "text.replace('a', 'b')",
        "dataclasses.replace(thing, name=1)",
        "with files.opened(path, root) as file: load_file(files.path_of(file))",
        "with store.creating(path, root) as draft, pq.ParquetWriter(draft, s) as f: ...",
        "files.read(path, root)",
    ],
)
def test_what_the_guard_gave_is_no_door(code: str) -> None:
    assert not list(doors(ast.parse(code)))


def test_every_file_is_opened_and_created_by_the_guard() -> None:
    actual = {
        (path.relative_to(ROOT).as_posix(), name): line
        for path in SOURCES
        for line, name in doors(ast.parse(path.read_text()))
        if path.relative_to(ROOT).as_posix() != GUARD
    }
    assert len(SOURCES) > 200
    advice = "Open and create files through bench/store/files.py, or give a reason here:"
    others = [
        f"{file}:{actual[file, name]}: {name}" for file, name in sorted(actual.keys() - REASONS)
    ]
    assert not others, "\n".join([advice, *others])
    assert not REASONS.keys() - actual.keys(), "reasons for calls that are gone"


def test_only_the_guard_opens_descriptors() -> None:
    """Only the guard calls `os.open` and `io.open`; for `os.devnull` no guard is needed."""
    texts = {path.relative_to(ROOT).as_posix(): path.read_text() for path in SOURCES}
    openers = {n for n, text in texts.items() if "os.open(" in text or "io.open(" in text}
    assert openers == {GUARD, "bench/run/streams.py"}
