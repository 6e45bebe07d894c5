"""The pages of predictions: a row that a person types, and a logged prediction, with what moved the answer."""
