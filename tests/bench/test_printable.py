"""Names leave by every exit without control of it: printed, logged, in tables, figures, pages."""

import contextlib
import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from matplotlib.lines import Line2D
from rich.table import Table
from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.analysis.page.render import environment
from evil_twins.bench.analysis.plots import encode
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.style import PAGE
from evil_twins.bench.analysis.tables.forms import latex, latex_cell
from evil_twins.bench.analysis.tables.write import csv as csv_bytes
from evil_twins.bench.errors import Fault, UserError, reason
from evil_twins.bench.run.screen import Screen
from evil_twins.bench.store.cells import Store
from tests.bench import strange

OPENED = re.compile(r"(?<!\\)(?:\\\\)*[&%$#_^~]")
"""A character with a meaning in LaTeX that nothing escapes."""


def _printed(name: str) -> None:
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        printable.say(name)
    assert stream.getvalue() == f"{printable.name(name)}\n"
    assert stream.getvalue().count("\n") == 1
    assert not strange.controls(stream.getvalue())
    stream.getvalue().encode()


def _on_a_console(name: str) -> None:
    """All that a console prints of a name in a table or in a line; it wraps long names."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        screen = Screen(width=500)
        table = Table(name, title=name, caption=name, box=None)
        table.add_row(name)
        table.add_row(Text(name))
        for renderable in (table, name, Text(name)):
            screen.print(renderable)
        rows = Table(box=None)
        for _ in range(2):
            rows.add_row(*printable.cells("a", f"{name[:30]}b"))
        before = stream.getvalue().count("\n")
        screen.print(rows)
    assert stream.getvalue().count("\n") <= before + 3  # an empty head, and the rows
    assert not strange.controls(stream.getvalue())
    if name.isascii() and name.isprintable() and " ".join(name.split()) == name:
        # Brackets are no markup.
        assert stream.getvalue().count(name) >= 7


def _in_an_error(name: str) -> None:
    assert not strange.controls(str(UserError(f"{name} is wrong")))
    for error in (UserError(name), Fault(name), ValueError(name)):
        assert not strange.controls(reason(error))
        assert "\n" not in reason(error)


def _in_a_log(name: str) -> None:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.fail("attack", "0", name, reason(ValueError(name)), f"Traceback: {name}")
        text = store.log("attack", "0").read_bytes().decode()
        assert not strange.controls(text)
        assert store.reason("attack", "0") == reason(ValueError(name))


def _in_csv(name: str) -> None:
    frame = pd.DataFrame({"name": [name], "x": [-1.5], "again": [name]}, dtype=object)
    text = csv_bytes(frame).decode()
    _, (cell, number, _) = csv.reader(io.StringIO(text, newline=""))
    assert number == "-1.5"
    assert printable.of_csv_cell(cell) == printable.name(name)
    for delimiter in ",;":  # the latter where numbers have a decimal comma
        _, row = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        formulas = [cell for cell in row if cell.startswith((*"=+-@", "\t", "\r"))]
        assert formulas in ([], ["-1.5"]) or len(name) == 1  # a single sign computes nothing


def _in_latex(name: str) -> None:
    shown = printable.name(name)
    cell = r"\textbf{50} [10, 90]"
    body = [[shown, cell, ""], ["a method", "", cell]]
    table = latex(shown, ["detector", shown, "an attack"], body)
    body = table[table.index("\\toprule") : table.index("\\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 3
    for row in rows:
        assert not row.startswith(("[", "*"))
        assert len(re.findall(r"(?<!\\)&", row)) == 2
    label = rows[1].split(" & ")[0] if " & " not in shown else ""
    assert not OPENED.search(re.sub(r"\$\\[a-z]+\$|\\[a-z]+(\{\})? ?", "", label))


def _in_a_figure(name: str) -> None:
    with PAGE.settings():
        drawn = Canvas(PAGE, 8, 6)
        axes = drawn.subplots()
        axes.set_axis_off()
        axes.annotate(name, (0, 0.5))
        drawn.caption(name, name, [Line2D([], [], label=name)])
        ElementTree.fromstring(encode.svg(drawn))


def _in_a_page(name: str) -> None:
    page = environment().from_string("<p>{{ name }}</p>").render(name=name)
    assert not strange.controls(page)
    assert page.count("<") == 2


def _in_a_file_name(name: str) -> None:
    part = printable.file_name(name)
    assert Path(f"/results/compare-{part}").parent == Path("/results")
    assert len(part.encode()) <= printable.FILE_NAME_BYTES
    assert not strange.controls(part)


EXITS: dict[str, Callable[[str], None]] = {
    check.__name__.strip("_"): check
    for check in (
        *(_printed, _on_a_console, _in_an_error, _in_a_log, _in_csv, _in_latex, _in_a_figure),
        *(_in_a_page, _in_a_file_name),
    )
}


@pytest.mark.parametrize("exit_", EXITS)
def test_a_strange_name_leaves_escaped(exit_: str) -> None:
    for name in strange.EXAMPLES:
        EXITS[exit_](name)
    settings(max_examples=10 if "figure" in exit_ else 50, deadline=None)(
        given(strange.names)(EXITS[exit_])
    )()


def test_labels_of_axes_are_names_and_their_ticks_are_formulas() -> None:
    with PAGE.settings():
        drawn = Canvas(PAGE, 8, 6)
        axes = drawn.subplots()
        axes.set(xlabel="$\\frac{$", ylabel="中", title="$x$ \x1b", xscale="log", xlim=(1, 1e4))
        encode.svg(drawn)
    labels = axes.xaxis.label, axes.yaxis.label, axes.title
    assert [label.get_text() for label in labels][1] == r"\u4e2d"
    assert not any(label.get_parse_math() for label in labels)
    assert all(tick.get_parse_math() for tick in axes.xaxis.get_ticklabels())


@pytest.mark.slow
@pytest.mark.parametrize("exit_", EXITS)
def test_ten_thousand_strange_names_leave_escaped(exit_: str) -> None:
    settings(max_examples=10_000, deadline=None)(given(strange.names)(EXITS[exit_]))()


@given(strange.names)
def test_a_name_stays_as_it_is_but_for_what_controls(name: str) -> None:
    kept = [c for c in name if not strange.controls(c) and c != "\n"]
    assert [c for c in printable.name(name) if c in kept or c == "\\"] or not name
    if not strange.controls(name) and "\n" not in name:
        assert printable.name(name) == name
    assert printable.name(printable.name(name)) == printable.name(name)


def test_a_complaint_without_standard_error_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    printable.complain("a", "b")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("formula", ["=1+1", " =1", "＝1", "－1", " ＠a", "'=1"])
def test_a_formula_has_an_apostrophe(formula: str) -> None:
    assert printable.csv_cell(formula) == f"'{formula}"
    assert printable.of_csv_cell(f"'{formula}") == formula


@pytest.mark.parametrize("name", ["[0pt]", " [0pt]", " *"])
def test_a_label_is_no_option_of_a_line_break(name: str) -> None:
    assert latex_cell(name).startswith("{}")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_an_output_that_lacks_letters_degrades(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding))
    printable.degrade()
    printable.say("imc κ .75 中")
    shown = raw.getvalue().decode(encoding)
    assert shown.strip() == {"utf-8": "imc κ .75 中"}.get(encoding, r"imc kappa .75 \u4e2d")
