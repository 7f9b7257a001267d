"""The paper's claims, judged from stored records by rules that were fixed before any run."""
