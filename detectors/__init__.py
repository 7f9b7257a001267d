"""Detectors by name; a name is resolved at its use, so that a list of names loads no torch."""

DETECTORS = {
    "manifold": "evil_twins.detectors.manifold:Manifold",
    "smoothing": "evil_twins.detectors.smoothing:Smoothing",
    "curvature": "evil_twins.detectors.curvature:Curvature",
    "confidence": "evil_twins.detectors.confidence:Confidence",
    "squeezing": "evil_twins.detectors.squeezing:Squeezing",
    "neighbours": "evil_twins.detectors.neighbours:Neighbours",
    "strip": "evil_twins.detectors.strip:STRIP",
    "scale-up": "evil_twins.detectors.scale_up:ScaleUp",
    "ibd-psc": "evil_twins.detectors.ibd_psc:IBDPSC",
    "ted": "evil_twins.detectors.ted:TED",
    "beatrix": "evil_twins.detectors.beatrix:Beatrix",
    "cognitive-distillation": "evil_twins.detectors.distillation:CognitiveDistillation",
    "disagreement": "evil_twins.detectors.disagreement:Disagreement",
    "inspection": "evil_twins.detectors.inspection:Inspection",
    "last-layer": "evil_twins.detectors.last_layer:LastLayer",
    "neural-cleanse": "evil_twins.detectors.neural_cleanse:NeuralCleanse",
}
