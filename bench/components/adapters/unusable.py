"""Attacks and detectors of other packages that cannot be used here, with the reasons.

`docs/unusable.md` is `page()`.
"""

from collections.abc import Mapping

# fmt: off
REASONS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("art", "attack"): {
        "it makes one pattern for many inputs":
            "AdversarialPatch AdversarialPatchNumpy AdversarialPatchPyTorch "
            "TargetedUniversalPerturbation UniversalPerturbation",
        "it is for TensorFlow":
            "AdversarialPatchTensorFlowV2 BackdoorAttackDGMReDTensorFlowV2 "
            "BackdoorAttackDGMTrailTensorFlowV2 FeatureAdversariesTensorFlowV2 "
            "HiddenTriggerBackdoorKeras MalwareGDTensorFlow "
            "ProjectedGradientDescentTensorFlowV2",
        "it is not for classifiers of images":
            "AdversarialTexturePyTorch BadDetGlobalMisclassificationAttack "
            "BadDetObjectDisappearanceAttack BadDetObjectGenerationAttack "
            "BadDetRegionalMisclassificationAttack CarliniWagnerASR DPatch DecisionTreeAttack "
            "FrameSaliencyAttack HighConfidenceLowUncertainty ImperceptibleASR "
            "ImperceptibleASRPyTorch LowProFool OverTheAirFlickeringPyTorch OverloadPyTorch "
            "PoisoningAttackSVM RobustDPatch SNAL",
        "it needs the package multiprocess; its parts are here by their own names": "AutoAttack",
        "it never looks at the target (1.20.1)": "BullseyePolytopeAttackPyTorch",
        "it has no target class":
            "CompositeAdversarialAttackPyTorch DeepFool GeoDA LaserAttack NewtonFool "
            "SpatialTransformation VirtualAdversarialMethod",
        "it needs a starting point for every input":
            "FeatureAdversariesNumpy FeatureAdversariesPyTorch GRAPHITEBlackbox "
            "GRAPHITEWhiteboxPyTorch SignOPTAttack",
        "it starts processes of its own, which a cell may not": "GradientMatchingAttack",
        "it puts a trigger into inputs; x° has none":
            "HiddenTriggerBackdoor HiddenTriggerBackdoorPyTorch "
            "PoisoningAttackAdversarialEmbedding PoisoningAttackBackdoor "
            "PoisoningAttackCleanLabelBackdoor SleeperAgentAttack",
        "ProjectedGradientDescent is the same":
            "ProjectedGradientDescentNumpy ProjectedGradientDescentPyTorch",
        "it reads probabilities; here κ is a condition on a margin": "SimBA",
        "it needs the package cma": "ThresholdAttack",
        "records have no column for its distance": "Wasserstein",
    },
    ("art", "detector"): {
        "it needs a second network, trained without labels": "BeyondDetectorPyTorch",
    },
    ("ood", "detector"): {
        "it reads several layers; a faced model shows only its last one":
            "Gram MultiMahalanobis NACUE",
        "it needs dropout, which no victim has": "MCD",
        "it is for models of images and words": "MCM",
        "its score depends on the other images of the call": "OpenMax",
        "it needs maps of features, before they are pooled": "RankFeat",
        "it needs true labels; clean data has none here": "TemperatureScaling",
        "it needs parameters that are learnt with the model": "WeightedEBO",
    },
}
# fmt: on
"""Package and kind -> reason -> names."""

UNUSABLE: Mapping[tuple[str, str], Mapping[str, str]] = {
    key: dict(sorted((name, why) for why, names in reasons.items() for name in names.split()))
    for key, reasons in REASONS.items()
}
"""Package and kind -> name -> reason."""


def reason(package: str, name: str) -> str | None:
    """Return why a name of a package cannot be used; None for any other name."""
    tables = (names for (owner, _), names in UNUSABLE.items() if owner == package)
    return next((names[name] for names in tables if name in names), None)


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
        lines += [f"| `{package}:{name}` | {kind} | {why} |" for name, why in names.items()]
    return "\n".join(lines) + "\n"
