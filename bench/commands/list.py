"""`evil-twins list`."""

from rich.table import Column

from evil_twins.bench import printable


def list_names() -> None:
    """List suites, data sets, victims, attacks, detectors, tables and figures."""
    from evil_twins.bench.analysis import contents
    from evil_twins.bench.components import adapters
    from evil_twins.bench.components import registry as components
    from evil_twins.bench.components.names import GROUPS, OURS, registry
    from evil_twins.bench.run.screen import screen
    from evil_twins.bench.subjects import forms, sets
    from evil_twins.bench.suite import suite

    columns = Column(no_wrap=True), Column(no_wrap=True), Column(overflow="fold")
    table = printable.Whole(*columns, box=None, show_header=False, pad_edge=False)
    for name, path in suite.built_in().items():
        words = suite.parse(path).get("description", "")
        table.add_row(*printable.cells("suite", name, words))
    for kind, names in (("data set", sets.names()), ("victim", suite.ARCHITECTURES)):
        for name in names:
            table.add_row(*printable.cells(kind, name, ""))
    for form, meaning in forms.EXAMPLES.items():
        table.add_row(*printable.cells("data set", form, meaning))
    for kind in GROUPS:
        for name, place in registry(kind).items():
            trouble = name not in OURS[kind] and components.trouble(kind, name)
            words = f"{place}: {trouble}" if trouble else place
            table.add_row(*printable.cells(kind, name, words))
    for row in adapters.listed():
        table.add_row(*printable.cells(*row))
    for kind, words in (("table", contents.TABLES), ("figure", contents.FIGURES)):
        for name, meaning in words.items():
            table.add_row(*printable.cells(kind, name, meaning))
    screen().print(table, crop=False)
