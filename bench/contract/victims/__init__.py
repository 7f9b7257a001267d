"""The contract of a victim, which a network keeps to be attacked and judged."""
