"""Whether what is asked has moved away from what was trained on, and whether the error on late labels has risen."""
