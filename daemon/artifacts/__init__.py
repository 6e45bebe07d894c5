"""The result of a training: the bundle, its backends, its sample of the training rows."""
