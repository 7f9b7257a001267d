"""The contract of attacks and detectors: each clause once, for tests and for `check`."""
