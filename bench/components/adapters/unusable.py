"""Attacks and detectors of other packages that cannot be used here, with the reasons.

`docs/unusable.md` is `page()`.
"""

from collections.abc import Mapping

NO_TARGET = "it cannot be asked for a class"
UNIVERSAL = "it makes one pattern for many inputs"
OTHER_INPUTS = "it is not for classifiers of images"
STARTING_POINT = "it starts at what must be given to it input by input"
TENSORFLOW = "it is for TensorFlow"
TRIGGER = "it puts a trigger into inputs; x° has none"
LAYERS = "it reads several layers; a faced model shows the last one alone"

UNUSABLE: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("art", "attack"): {
        "AdversarialPatch": UNIVERSAL,
        "AdversarialPatchNumpy": UNIVERSAL,
        "AdversarialPatchPyTorch": UNIVERSAL,
        "AdversarialPatchTensorFlowV2": TENSORFLOW,
        "AdversarialTexturePyTorch": OTHER_INPUTS,
        "AutoAttack": "it needs the package multiprocess; its parts are here by their own names",
        "BackdoorAttackDGMReDTensorFlowV2": TENSORFLOW,
        "BackdoorAttackDGMTrailTensorFlowV2": TENSORFLOW,
        "BadDetGlobalMisclassificationAttack": OTHER_INPUTS,
        "BadDetObjectDisappearanceAttack": OTHER_INPUTS,
        "BadDetObjectGenerationAttack": OTHER_INPUTS,
        "BadDetRegionalMisclassificationAttack": OTHER_INPUTS,
        "BullseyePolytopeAttackPyTorch": "it never looks at the target (1.20.1)",
        "CarliniWagnerASR": OTHER_INPUTS,
        "CompositeAdversarialAttackPyTorch": NO_TARGET,
        "DPatch": OTHER_INPUTS,
        "DecisionTreeAttack": OTHER_INPUTS,
        "DeepFool": NO_TARGET,
        "FeatureAdversariesNumpy": STARTING_POINT,
        "FeatureAdversariesPyTorch": STARTING_POINT,
        "FeatureAdversariesTensorFlowV2": TENSORFLOW,
        "FrameSaliencyAttack": OTHER_INPUTS,
        "GRAPHITEBlackbox": STARTING_POINT,
        "GRAPHITEWhiteboxPyTorch": STARTING_POINT,
        "GeoDA": NO_TARGET,
        "GradientMatchingAttack": "it starts processes of its own, which a cell may not",
        "HiddenTriggerBackdoor": TRIGGER,
        "HiddenTriggerBackdoorKeras": TENSORFLOW,
        "HiddenTriggerBackdoorPyTorch": TRIGGER,
        "HighConfidenceLowUncertainty": OTHER_INPUTS,
        "ImperceptibleASR": OTHER_INPUTS,
        "ImperceptibleASRPyTorch": OTHER_INPUTS,
        "LaserAttack": NO_TARGET,
        "LowProFool": OTHER_INPUTS,
        "MalwareGDTensorFlow": TENSORFLOW,
        "NewtonFool": NO_TARGET,
        "OverTheAirFlickeringPyTorch": OTHER_INPUTS,
        "OverloadPyTorch": OTHER_INPUTS,
        "PoisoningAttackAdversarialEmbedding": TRIGGER,
        "PoisoningAttackBackdoor": TRIGGER,
        "PoisoningAttackCleanLabelBackdoor": TRIGGER,
        "PoisoningAttackSVM": OTHER_INPUTS,
        "ProjectedGradientDescentNumpy": "ProjectedGradientDescent is the same",
        "ProjectedGradientDescentPyTorch": "ProjectedGradientDescent is the same",
        "ProjectedGradientDescentTensorFlowV2": TENSORFLOW,
        "RobustDPatch": OTHER_INPUTS,
        "SNAL": OTHER_INPUTS,
        "SignOPTAttack": STARTING_POINT,
        "SimBA": "it reads probabilities; what says where κ is reached here is a margin",
        "SleeperAgentAttack": TRIGGER,
        "SpatialTransformation": NO_TARGET,
        "TargetedUniversalPerturbation": UNIVERSAL,
        "ThresholdAttack": "it needs the package cma",
        "UniversalPerturbation": UNIVERSAL,
        "VirtualAdversarialMethod": NO_TARGET,
        "Wasserstein": "its distance is one that no record holds",
    },
    ("art", "detector"): {
        "BeyondDetectorPyTorch": "it needs a second network, trained without labels",
    },
    ("ood", "detector"): {
        "Gram": LAYERS,
        "MCD": "it needs dropout, which no victim has",
        "MCM": "it is for models of images and words",
        "MultiMahalanobis": LAYERS,
        "NACUE": LAYERS,
        "OpenMax": "its score depends on the other images of the call",
        "RankFeat": "it needs maps of features, before they are pooled",
        "TemperatureScaling": "it needs true labels; clean data has none here",
        "WeightedEBO": "it needs what is learnt in the training of the model",
    },
}
"""Package and kind -> name -> reason."""


def reasons(package: str) -> dict[str, str]:
    """Return every unusable name of a package -> the reason."""
    return {
        name: reason
        for (owner, _), names in UNUSABLE.items()
        if owner == package
        for name, reason in names.items()
    }


def page() -> str:
    """Return the page of the documents that lists them."""
    lines = [
        "# Attacks and detectors of other packages that cannot be used",
        "",
        "`evil-twins list` shows those that can be used, and [suites](suites.md) says how.",
        "",
        "| name | kind | reason |",
        "| --- | --- | --- |",
    ]
    for (package, kind), names in UNUSABLE.items():
        lines += [f"| `{package}:{name}` | {kind} | {reason} |" for name, reason in names.items()]
    return "\n".join(lines) + "\n"
