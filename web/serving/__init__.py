"""The loaded models and what they answer: predictor, other versions, canary, shadow, inputs, and the prediction log."""
