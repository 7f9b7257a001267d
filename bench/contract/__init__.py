"""What every attack and every detector must keep: each clause once, for tests and for `check`."""
