"""Names of all figures and tables with what they show; it loads nothing, so that a list is fast."""

FIGURES = {
    "detection": "Rate of each detector on each attack",
    "detection-phi": "Rate along the budget φ",
    "detection-fidelity": "Rate against fidelity loss",
    "tradeoff": "Trade-off of fidelity and specificity",
    "budgets": "Confidence within fixed budgets",
    "load": "One model for several targets",
    "price": "The price of evasion",
    "figure-4": "Figure 4 of the paper, redrawn",
    "figure-5": "Figure 5 of the paper, redrawn",
    "roc": "Receiver operating curves",
    "distributions": "Score distributions and KS",
    "images": "Images with their changes",
}

RATES = "rates"
"""The matrix of rates, which is no file of its own."""

TABLES = {
    RATES: "Detectors down, attacks across; printed without a name",
    "population": "Rates over victims, and of the next victim",
    "leave-one-out": "Each victim against the interval from the others",
    "paired-over-victims": "Differences of rates and losses over victims",
    "detection": "Rates, false alarms, AUROC and KS of each victim",
    "attacks": "Efficacy, losses and cost of each attack",
    "calibration": "Thresholds and realised false-positive rates",
    "trends": "Whether losses and rates rise or fall along φ",
    "paired": "Decisions on two attacks, on the same targets",
    "worst": "Targets that are caught under every attack",
    "tradeoff": "Fidelity and specificity loss, over those of the pure attacks",
    "outcomes": "Answers of detectors that correct an input",
    "victims": "Accuracy of the victims",
    "audit-over-victims": "Losses against rival attacks, over all targets",
    "audit": "The same for each victim",
    "budgets": "Confidence within fixed budgets",
    "specificity": "Disagreement on R, with the values of the paper",
    "controls": "Controls, and readings that depend on them",
    "price": "The price of evasion",
    "load": "One model for several targets",
    "triggers": "Success rate, size and harm of triggers",
    "durability": "Attacks after fine-tuning, pruning, int8 weights and JPEG",
    "inspection": "Inspectors of models",
    "inspection-over-victims": "Inspectors of models over victims",
}
