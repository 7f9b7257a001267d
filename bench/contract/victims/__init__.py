"""The contract of a victim: what a network must keep to be attacked and judged."""
