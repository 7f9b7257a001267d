"""Which detector catches which attack: on inputs, on models, and on both at once."""
