"""The loaded models and their answers: predictor, other versions, canary, shadow, inputs, and the prediction log."""
