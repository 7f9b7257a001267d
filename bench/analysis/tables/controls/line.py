"""Columns and readings that all controls share."""

VALUE = "value low high"
CONTROL = "control_value control_low control_high"

NONE = "no signal"
STAYS = "stays"
GONE = "vanishes"
OPEN = "undecided"
