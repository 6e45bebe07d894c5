"""Pure decisions on scores: whether a challenger may replace the champion, and whether the world has changed."""
