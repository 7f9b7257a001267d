"""Unit, range and meaning of each column of the records."""

# Apart from `records`, on which every victim depends: words decide the content of no cell.

from collections.abc import Mapping
from typing import NamedTuple

from evil_twins.bench.store.records import COSTS, FILES, KEYS, Columns


class Meaning(NamedTuple):
    """The meaning of a column.

    Attributes:
        words: The meaning, a noun phrase.
        range: The values that occur; "" for any of the type.
        unit: The unit; "" for none.
    """

    words: str
    range: str = ""
    unit: str = ""


FILE_WORDS: Mapping[str, str] = {
    "targets": "One line for each row and target: effect and costs of the attack.",
    "flips": "One line for each held-out image on which a faced model and its victim disagree.",
    "gallery": "One line for each row and stored image: the first targets, before and after.",
    "scores": "One line for each row, detector and image.",
    "details": "One line for each further value of a detector.",
    "durability": "One line for each row, treatment by the defender, and target; only where the "
    "suite asks for it.",
    "victims": "One line for each victim.",
    "failures": "One line for each cell that failed or could not run.",
    "costs": "One line for each row and detector of a comparison.",
}
"""File -> the meaning of its lines; `costs` lies only in folders of `compare`."""

_CLASS = "0 to the number of classes − 1"
_NONE = "NaN: does not apply"

COLUMNS: Mapping[str, Meaning] = {
    "dataset": Meaning("name of the data set"),
    "victim": Meaning("name of the victim's architecture"),
    "seed": Meaning("seed of the victim's training, another one for each victim of a recipe"),
    "attack": Meaning("label of the attack in the suite"),
    "method": Meaning("name of the attack's method"),
    "layers": Meaning("layers of the model that moved", "none, head, all, or names of layers"),
    "kappa": Meaning(
        'required confidence κ in the goal class; 1 is κ "benign", where each target has that of '
        "a benign image",
        f"(0, 1]; {_NONE}",
    ),
    "phi": Meaning(
        "fidelity budget φ as a share of the target's smallest radius of PGD",
        f"[0, 1]; {_NONE}",
    ),
    "lam": Meaning("weight λ of the fidelity loss", f"≥ 0; {_NONE}"),
    "target_id": Meaning("name of the target, that of its image x°"),
    "image_id": Meaning("name of the image"),
    "label": Meaning("true class of x°", _CLASS),
    "goal": Meaning("goal class t", _CLASS),
    "predicted": Meaning("class that the faced model gives to x*", _CLASS),
    "detector": Meaning("label of the detector in the suite"),
    "knowledge": Meaning(
        "knowledge of the detector: the faced model; and clean data; and an independently trained "
        "model; and the victim",
        "K0, K1, K2, K3",
    ),
}
"""Columns with one meaning in all files."""

OF_FILE: Mapping[str, Mapping[str, Meaning]] = {
    "targets": {
        "list": Meaning("list of the target", "confirmatory: reported; development: not reported"),
        "confidence": Meaning("f_t(x*; θ*), softmax of the faced model at the goal", "[0, 1]"),
        "log_odds": Meaning("log-odds of `confidence`, finite where it rounds to 1", "", "nats"),
        "at_kappa": Meaning(
            "whether the confidence is at least κ; with a trigger, whether the goal is predicted; "
            "false without either"
        ),
        "within_eps": Meaning("whether the attack stays within its ε and its δ"),
        "linf": Meaning("‖x* − x°‖∞", "[0, 1]", "pixels of [0, 1]"),
        "l2": Meaning("‖x* − x°‖₂", "≥ 0", "pixels of [0, 1]"),
        "delta": Meaning("‖θ* − θ°‖₂ / ‖θ°‖₂", "≥ 0"),
        "kl": Meaning("mean KL(victim ‖ faced model) on the held-out images R", "≥ 0", "nats"),
        "flipped": Meaning("images of R on which victim and faced model disagree", "0 to heldout"),
        "heldout": Meaning("number of images of R", "≥ 0"),
        "accuracy_drop": Meaning("accuracy on R of the victim − of the faced model", "[−1, 1]"),
        "confidence_8bit": Meaning("`confidence` with x* rounded to 8 bits", "[0, 1]"),
        "at_kappa_8bit": Meaning("`at_kappa` with x* rounded to 8 bits"),
        "rounds": Meaning("round in which κ was first reached", "≥ 1; −1: never"),
        "passes": Meaning("forward and backward passes of the steps", "≥ 0", "passes"),
        "norm": Meaning("norm of the input attack", "linf, l2; empty: no input moves"),
        "kl_reference": Meaning(
            "mean KL on the attacker's images", "≥ 0; NaN: more than the last layer moved", "nats"
        ),
        "kl_bound": Meaning(
            "lower bound of `kl_reference` over all models at κ", "≥ 0; NaN: unknown", "nats"
        ),
        "asr": Meaning(
            "share of images of R of other classes that get the goal with the trigger",
            "[0, 1]; NaN: no trigger, or older records",
        ),
        "group": Meaning("target_id of the first target of the same poisoned model"),
        "content": Meaning(
            "SHA-256 of the pixels of x°", "64 hexadecimal digits; empty in older records"
        ),
        "moves": Meaning("part that the attack moves", "nothing, inputs, model, both"),
        "role": Meaning("role of the attack", "attack, control, yardstick"),
    },
    "gallery": {
        "shape": Meaning("shape C,H,W of both images", "three whole numbers with commas"),
        "original": Meaning("x°, C·H·W bytes, each 255 times a pixel", "0 to 255"),
        "attacked": Meaning("x*, C·H·W little-endian float32", "[0, 1]"),
    },
    "scores": {
        "role": Meaning(
            "role of the image",
            "attacked: x*; calibration: benign, for thresholds; fpr: benign, for the realised "
            "false-positive rate",
        ),
        "target_id": Meaning(
            "target whose faced model scores the image", "empty: the victim scores a benign image"
        ),
        "score": Meaning("score, higher is more suspicious", "any number; NaN: not flagged"),
        "confidence": Meaning("largest softmax of the faced model", "[0, 1]"),
        "correct": Meaning("whether the faced model gives the image its true class"),
    },
    "durability": {
        "treatment": Meaning(
            "treatment of every model, or of every input",
            "none; fine-tuning, pruning, int8: of models; jpeg: of inputs",
        ),
        "confidence": Meaning("softmax of the treated model at the goal, on the input", "[0, 1]"),
        "at_kappa": Meaning("whether the confidence is still at least κ; false without κ"),
        "gets_goal": Meaning("whether the treated model gives the goal class"),
        "asr": Meaning("success rate of the trigger after it", "[0, 1]; NaN: no trigger"),
        "accuracy": Meaning("accuracy of the treated model on R", "[0, 1]"),
    },
    "details": {
        "name": Meaning("name of the value, as the detector gives it"),
        "value": Meaning("the value; for 'score of the model' that of an inspector"),
    },
    "victims": {
        "accuracy": Meaning(
            "share of correct predictions on the splits of the test half", "[0, 1]"
        ),
        "images": Meaning("number of these images", "≥ 1", "images"),
        "content": Meaning(
            "content hash of the victim", "64 hexadecimal digits; empty in older records"
        ),
        "computed": Meaning(
            "type of the numbers; in float32 or on a GPU also the machine, since another gives "
            "other numbers",
            "float64, or such as float32 on AMD EPYC; empty in older records",
        ),
    },
    "failures": {
        "kind": Meaning("kind of the cell", "victim, fit, attack, benign, score, durability"),
        "cell": Meaning("title of the cell"),
        "reason": Meaning("reason, in one line"),
        "log": Meaning("path of the log, from the folder of the suite"),
    },
    "costs": {
        "seconds": Meaning("computing time of the scores, fits included", "≥ 0", "seconds"),
        "inputs": Meaning("number of the scored images", "≥ 1", "images"),
    },
}
"""File -> its columns with a meaning of their own."""

SCHEMAS: Mapping[str, Columns] = {**FILES, "costs": {**KEYS, **COSTS}}
"""The columns of each file."""


def meaning(file: str, column: str) -> Meaning:
    """Return the meaning of a column of a file."""
    return OF_FILE.get(file, {}).get(column) or COLUMNS[column]
