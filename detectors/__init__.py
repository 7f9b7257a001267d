"""Detectors by name; a name is resolved only when it is used, so listing them loads no torch."""

DETECTORS = {
    "manifold": "detectors.manifold:Manifold",
    "smoothing": "detectors.smoothing:Smoothing",
    "curvature": "detectors.curvature:Curvature",
    "confidence": "detectors.confidence:Confidence",
    "squeezing": "detectors.squeezing:Squeezing",
    "neighbours": "detectors.neighbours:Neighbours",
    "disagreement": "detectors.disagreement:Disagreement",
    "inspection": "detectors.inspection:Inspection",
}
