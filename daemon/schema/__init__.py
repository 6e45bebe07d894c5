"""What a row is and how it becomes numbers: schema, classes, notations, words, costs, and the names of scores."""
