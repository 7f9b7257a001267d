"""Numbers that mean words in the key columns of records."""

# Apart from `records`, on which every victim depends: this decides the content of no cell.

BENIGN = 1.0
"""The column kappa where it is "benign": each target gets the confidence of a benign image. No
number κ can be 1, and it sorts after all of them."""
