"""How sure is a number? Statistics of plain arrays, without pandas and without a study."""
