"""Pages that show suites from their stored records: nothing here loads a model."""
