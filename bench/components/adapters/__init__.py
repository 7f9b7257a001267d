"""Attacks and detectors of other packages by name; listing them loads none of these packages."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec

PACKAGES = ("art", "ood")
"""Prefixes of names: the adversarial-robustness-toolbox and pytorch-ood."""

# fmt: off
TOOLBOX = (
    "AutoConjugateGradient", "AutoProjectedGradientDescent", "BasicIterativeMethod",
    "BoundaryAttack", "CarliniL0Method", "CarliniL2Method", "CarliniLInfMethod", "ElasticNet",
    "FastGradientMethod", "HopSkipJump", "MomentumIterativeMethod", "PixelAttack",
    "ProjectedGradientDescent", "RescalingAutoConjugateGradient", "SaliencyMapMethod",
    "ShadowAttack", "SquareAttack", "ZooAttack",
)
"""Usable evasion attacks of the toolbox."""

POISONS = ("FeatureCollisionAttack",)
"""Usable poisoning attacks of the toolbox."""

INPUT_DETECTORS = (
    "BinaryActivationDetector", "BinaryInputDetector", "SubsetScanningDetector",
)
"""Usable detectors of the toolbox."""

SUPERVISED = ("BinaryActivationDetector", "BinaryInputDetector")
"""Those that are trained on attacked inputs, of an attack of their own."""

OUTLIERS = (
    "ASH", "DICE", "EnergyBased", "Entropy", "GEN", "GMM", "GradNorm", "GradUncertainty",
    "KLMatching", "KNN", "LTS", "Mahalanobis", "MahalanobisODIN", "MaxLogit", "MaxSoftmax", "NCI",
    "NNGuide", "ODIN", "PNML", "RMD", "ReAct", "SCALE", "SHE", "VRA", "ViM", "fDBD",
)
"""Usable detectors of pytorch-ood."""

# fmt: on
INSTALL_OOD = "pip install 'pytorch-ood>=0.4'"

MODULES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "art": {"toolbox": TOOLBOX, "poisons": POISONS, "input_detectors": INPUT_DETECTORS},
    "ood": {"ood": OUTLIERS},
}
"""Package -> module of this folder -> names in it."""


def usable(package: str) -> dict[str, str]:
    """Return every usable name of one of `PACKAGES` -> its place, "module:Name"."""
    modules = MODULES[package].items()
    return {name: f"{__name__}.{module}:{name}" for module, names in modules for name in names}


def listed() -> Iterator[tuple[str, str, str]]:
    """Yield kind, name in a suite and origin of every usable attack and detector."""
    art = "of the adversarial-robustness-toolbox"
    ood = "of pytorch-ood" + ("" if find_spec("pytorch_ood") else f": {INSTALL_OOD}")
    origins = {
        ("attack", "art", art): TOOLBOX,
        ("attack", "art", f"{art}, on training images"): POISONS,
        ("detector", "art", f"{art}, supervised"): SUPERVISED,
        ("detector", "art", art): [name for name in INPUT_DETECTORS if name not in SUPERVISED],
        ("detector", "ood", ood): OUTLIERS,
    }
    for (kind, package, origin), names in origins.items():
        for name in names:
            yield kind, f"{package}:{name}", origin
