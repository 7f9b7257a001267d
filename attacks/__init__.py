"""Attacks by name; a name is resolved only when it is used, so listing them loads no torch."""

ATTACKS = {
    "pgd": "evil_twins.attacks.pgd:PGD",
    "pgd-bisection": "evil_twins.attacks.yardsticks.bisection:Bisection",
    "fab": "evil_twins.attacks.yardsticks.fab:FAB",
    "transferred-pgd": "evil_twins.attacks.transferred:TransferredPGD",
    "poisoning": "evil_twins.attacks.poisoning:Poisoning",
    "imc": "evil_twins.attacks.imc:IMC",
    "universal": "evil_twins.attacks.universal:Universal",
    "backdoor": "evil_twins.attacks.backdoor:Backdoor",
    "trigger-imc": "evil_twins.attacks.trigger_imc:TriggerIMC",
    "aware": "evil_twins.attacks.aware:Aware",
    "rank-one-head": "evil_twins.attacks.head:RankOneHead",
    "convex-head": "evil_twins.attacks.head:ConvexHead",
    "few-weights": "evil_twins.attacks.few_weights:FewWeights",
    "logit-anchoring": "evil_twins.attacks.poisoning:LogitAnchoring",
    "within": "evil_twins.attacks.yardsticks.within:Within",
    "plain-steps": "evil_twins.attacks.yardsticks.plain:PlainSteps",
    "proposition": "evil_twins.attacks.yardsticks.proposition:Proposition",
    "untouched": "evil_twins.attacks.controls:Untouched",
    "noise": "evil_twins.attacks.controls:Noise",
    "fine-tuning": "evil_twins.attacks.controls:FineTuning",
}
