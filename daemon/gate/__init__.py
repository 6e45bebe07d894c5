"""Pure decisions on scores: the verdict on a challenger, and the test for a changed world."""
