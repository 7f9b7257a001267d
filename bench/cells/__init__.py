"""Cells: the smallest pieces that are run, stored and resumed."""
