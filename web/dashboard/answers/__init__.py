"""The answers of the page to its four questions."""
