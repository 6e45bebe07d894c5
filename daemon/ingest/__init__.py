"""From finished drops to one batch in the dataset: reading, evaluating, holding, recording, clearing and forgetting."""
