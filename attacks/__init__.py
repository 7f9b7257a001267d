"""Attacks by name; a name is resolved only when it is used, so listing them loads no torch."""

ATTACKS = {
    "pgd": "attacks.pgd:PGD",
    "pgd-bisection": "attacks.bisection:Bisection",
    "fab": "attacks.fab:FAB",
    "transferred-pgd": "attacks.transferred:TransferredPGD",
    "poisoning": "attacks.poisoning:Poisoning",
    "imc": "attacks.imc:IMC",
    "aware": "attacks.aware:Aware",
    "rank-one-head": "attacks.head:RankOneHead",
    "convex-head": "attacks.head:ConvexHead",
    "few-weights": "attacks.sparse:FewWeights",
    "logit-anchoring": "attacks.anchoring:LogitAnchoring",
    "untouched": "attacks.controls:Untouched",
    "noise": "attacks.controls:Noise",
    "fine-tuning": "attacks.controls:FineTuning",
}
