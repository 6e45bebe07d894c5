"""What a training leaves to be served: the bundle, its backends, its sample of the training rows."""
