"""Attacks and detectors of other packages by name; listing them loads none of these packages."""

from collections.abc import Iterator
from importlib.util import find_spec

from evil_twins.bench.errors import UserError

_ART = "of the adversarial-robustness-toolbox"
_OOD = "of pytorch-ood"

_AIMLESS = "it cannot be asked for a class"
_MANY = "it makes one pattern for many inputs"
_OTHER = "it is not for classifiers of images"
_START = "it starts at what must be given to it input by input"
_TENSORFLOW = "it is for TensorFlow"

TOOLBOX = {
    "AdversarialPatch": _MANY,
    "AdversarialPatchNumpy": _MANY,
    "AdversarialPatchPyTorch": _MANY,
    "AdversarialPatchTensorFlowV2": _TENSORFLOW,
    "AdversarialTexturePyTorch": _OTHER,
    "AutoAttack": "it needs the package multiprocess; its parts are here by their own names",
    "AutoConjugateGradient": "",
    "AutoProjectedGradientDescent": "",
    "BasicIterativeMethod": "",
    "BoundaryAttack": "",
    "CarliniL0Method": "",
    "CarliniL2Method": "",
    "CarliniLInfMethod": "",
    "CarliniWagnerASR": _OTHER,
    "CompositeAdversarialAttackPyTorch": _AIMLESS,
    "DPatch": _OTHER,
    "DecisionTreeAttack": _OTHER,
    "DeepFool": _AIMLESS,
    "ElasticNet": "",
    "FastGradientMethod": "",
    "FeatureAdversariesNumpy": _START,
    "FeatureAdversariesPyTorch": _START,
    "FeatureAdversariesTensorFlowV2": _TENSORFLOW,
    "FrameSaliencyAttack": _OTHER,
    "GRAPHITEBlackbox": _START,
    "GRAPHITEWhiteboxPyTorch": _START,
    "GeoDA": _AIMLESS,
    "HighConfidenceLowUncertainty": _OTHER,
    "HopSkipJump": "",
    "ImperceptibleASR": _OTHER,
    "ImperceptibleASRPyTorch": _OTHER,
    "LaserAttack": _AIMLESS,
    "LowProFool": _OTHER,
    "MalwareGDTensorFlow": _TENSORFLOW,
    "MomentumIterativeMethod": "",
    "NewtonFool": _AIMLESS,
    "OverTheAirFlickeringPyTorch": _OTHER,
    "OverloadPyTorch": _OTHER,
    "PixelAttack": "",
    "ProjectedGradientDescent": "",
    "ProjectedGradientDescentNumpy": "ProjectedGradientDescent is the same",
    "ProjectedGradientDescentPyTorch": "ProjectedGradientDescent is the same",
    "ProjectedGradientDescentTensorFlowV2": _TENSORFLOW,
    "RescalingAutoConjugateGradient": "",
    "RobustDPatch": _OTHER,
    "SNAL": _OTHER,
    "SaliencyMapMethod": "",
    "ShadowAttack": "",
    "SignOPTAttack": _START,
    "SimBA": "it reads probabilities; what says where κ is reached here is a margin",
    "SpatialTransformation": _AIMLESS,
    "SquareAttack": "",
    "TargetedUniversalPerturbation": _MANY,
    "ThresholdAttack": "it needs the package cma",
    "UniversalPerturbation": _MANY,
    "VirtualAdversarialMethod": _AIMLESS,
    "Wasserstein": "its distance is one that no record holds",
    "ZooAttack": "",
}
"""Every evasion attack of the toolbox -> why it cannot be used here, or nothing."""

_TRIGGER = "it puts a trigger into inputs; x° has none"

POISONS = {
    "BackdoorAttackDGMReDTensorFlowV2": _TENSORFLOW,
    "BackdoorAttackDGMTrailTensorFlowV2": _TENSORFLOW,
    "BadDetGlobalMisclassificationAttack": _OTHER,
    "BadDetObjectDisappearanceAttack": _OTHER,
    "BadDetObjectGenerationAttack": _OTHER,
    "BadDetRegionalMisclassificationAttack": _OTHER,
    "BullseyePolytopeAttackPyTorch": "it never looks at the target (1.20.1)",
    "FeatureCollisionAttack": "",
    "GradientMatchingAttack": "it starts processes of its own, which a cell may not",
    "HiddenTriggerBackdoor": _TRIGGER,
    "HiddenTriggerBackdoorKeras": _TENSORFLOW,
    "HiddenTriggerBackdoorPyTorch": _TRIGGER,
    "PoisoningAttackAdversarialEmbedding": _TRIGGER,
    "PoisoningAttackBackdoor": _TRIGGER,
    "PoisoningAttackCleanLabelBackdoor": _TRIGGER,
    "PoisoningAttackSVM": _OTHER,
    "SleeperAgentAttack": _TRIGGER,
}
"""Every poisoning attack of the toolbox -> why it cannot be used here, or nothing."""

NORMS = {
    "BasicIterativeMethod": "linf",
    "BoundaryAttack": "l2",
    "CarliniL2Method": "l2",
    "CarliniLInfMethod": "linf",
    "ZooAttack": "l2",
}
"""The norms of those that have one and no parameter for it."""

WATCHERS = {
    "BeyondDetectorPyTorch": "it needs a second network, trained without labels",
    "BinaryActivationDetector": "",
    "BinaryInputDetector": "",
    "SubsetScanningDetector": "",
}
"""Every detector of inputs of the toolbox -> why it cannot be used here, or nothing."""

SUPERVISED = ("BinaryActivationDetector", "BinaryInputDetector")
"""Those that are trained on attacked inputs, of an attack of their own."""

_LAYERS = "it reads several layers; a faced model shows the last one alone"

OUTLIERS = {
    "ASH": "",
    "DICE": "",
    "EnergyBased": "",
    "Entropy": "",
    "GEN": "",
    "GMM": "",
    "GradNorm": "",
    "GradUncertainty": "",
    "Gram": _LAYERS,
    "KLMatching": "",
    "KNN": "",
    "LTS": "",
    "MCD": "it needs dropout, which no victim has",
    "MCM": "it is for models of images and words",
    "Mahalanobis": "",
    "MahalanobisODIN": "",
    "MaxLogit": "",
    "MaxSoftmax": "",
    "MultiMahalanobis": _LAYERS,
    "NACUE": _LAYERS,
    "NCI": "",
    "NNGuide": "",
    "ODIN": "",
    "OpenMax": "its score depends on the other images of the call",
    "PNML": "",
    "RMD": "",
    "RankFeat": "it needs maps of features, before they are pooled",
    "ReAct": "",
    "SCALE": "",
    "SHE": "",
    "TemperatureScaling": "it needs true labels; clean data has none here",
    "VRA": "",
    "ViM": "",
    "WeightedEBO": "it needs what is learnt in the training of the model",
    "fDBD": "",
}
"""Every detector of pytorch-ood -> why it cannot be used here, or nothing."""

OUTLIERS_FROM = "pip install 'pytorch-ood>=0.4'"
"""What installs them."""


PACKAGES = ("art", "ood")
"""What stands before the colon: the adversarial-robustness-toolbox, pytorch-ood."""


def named(package: str) -> dict[str, str]:
    """Every name of a package -> why it cannot be used here, or nothing.

    Args:
        package: One of `PACKAGES`.
    """
    return TOOLBOX | POISONS | WATCHERS if package == "art" else dict(OUTLIERS)


def listed() -> Iterator[tuple[str, str, str]]:
    """Kind, name in a suite, and what is said of it: whose it is, or why it cannot be used."""
    for name, why in TOOLBOX.items():
        yield "attack", f"art:{name}", _said(why, _ART)
    for name, why in POISONS.items():
        yield "attack", f"art:{name}", _said(why, f"{_ART}, on training images")
    for name, why in WATCHERS.items():
        supervised = ", supervised" if name in SUPERVISED else ""
        yield "detector", f"art:{name}", _said(why, _ART + supervised)
    there = find_spec("pytorch_ood") is not None
    for name, why in OUTLIERS.items():
        yield "detector", f"ood:{name}", _said(why, _OOD if there else f"{_OOD}: {OUTLIERS_FROM}")


def refused(name: str, why: str, kind: str) -> UserError:
    """What is said to who asks for one that cannot be used.

    Args:
        name: As in a suite.
        why: The reason.
        kind: "attack" or "detector".
    """
    return UserError(
        f"{name} cannot be used: {why}\nremedy: one of the {kind}s of `evil-twins list`"
    )


def _said(why: str, whose: str) -> str:
    return f"cannot be used: {why}" if why else whose
