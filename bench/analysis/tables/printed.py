"""Tables 1 and 2 of the paper, its own numbers beside what is measured, as Markdown."""

from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables import frames, text


def victims(table: pd.DataFrame) -> str:
    """Accuracy of the victims beside Table 1."""
    lines = []
    for line in frames.lines(table):
        known = f"{line['paper_accuracy']:.2%}" if line["paper_data"] else ""
        own = [text.study(line), _images(line), _share(line, "accuracy", digits=4)]
        lines.append([*own, str(line["paper_data"]), str(line["paper_victim"]), known])
    header = ["victim", "test images", "test accuracy, %"]
    header += ["paper's data", "paper's victim", "paper's Table 1"]
    return (
        "# Victims\n\n"
        "Accuracy on the whole test half with its Clopper–Pearson 95 % interval, beside Table 1 of "
        f"the paper. {_DATA}\n\n"
    ) + text.markdown(header, lines)


def _images(line: dict[str, Any]) -> str:
    """How many, and as what files they came: JPEG loses something, PNG nothing."""
    count = "" if pd.isna(line.get("images")) else f"{line['images']:,.0f}"
    return " ".join(part for part in (count, str(line["files"]).upper()) if part)


_DATA = (
    "Same data: as the paper has them; other split: the same images, cut in another way; other "
    "copy: a folder of that name, its images fewer or encoded again; empty: the paper does not "
    "study them. A victim of another architecture or width bears another name: `-narrow` is a "
    "quarter as wide, of 16 channels where the network has 64."
)


def specificity(table: pd.DataFrame) -> str:
    """What Poisoning costs, beside Table 2."""
    header = ["Poisoning", "at κ", "disagreement, %", "accuracy drop, %", "drop, cut at 0, %"]
    header += ["KL · 1000", "paper's data", "Table 2, %", "stored, %"]
    lines = [
        [
            f"{text.study(line)}: {line['attack']} κ {text.short(float(line['kappa']))}",
            f"{line['at_kappa']}/{line['n']}",
            *(_share(line, name) for name in ("specificity", "drop", "drop_cut")),
            _share(line, "kl", 1000),
            str(line["paper_data"]),
            *(text.number(100 * line[name]) for name in ("paper_drop", "paper_stored")),
        ]
        for line in frames.lines(table)
    ]
    return (
        "# Specificity loss of Poisoning\n\n"
        "Beside Table 2 of the paper. Disagreement is its Eqn 9, pooled over targets × R, with a "
        "crossed bootstrap interval (95 %); the other intervals are over targets. Table 2 prints a "
        "drop of accuracy, and its authors' code sets negative drops of single targets to 0: only "
        f"the column cut at 0 is the same measure.{_agreement(table)} {_DATA}\n\n"
    ) + text.markdown(header, lines)


def _agreement(table: pd.DataFrame) -> str:
    """How the paper's printed drops compare with those that its authors' scripts hold."""
    known = table[table["paper_note"] != ""].drop_duplicates("dataset")
    said = [f"{one['dataset']}: {one['paper_note']}" for one in frames.lines(known)]
    if not said:
        return ""
    return f" Against the drops stored in its authors' plotting scripts, {'; '.join(said)}."


def _share(line: dict[str, Any], name: str, times: float = 100, digits: int = 3) -> str:
    """A number with its interval, in hundredths or thousandths; without it where unknown."""
    low, high = (text.number(times * line[f"{name}_{end}"], digits) for end in ("low", "high"))
    return text.number(times * line[name], digits) + (f" [{low}, {high}]" if low else "")
