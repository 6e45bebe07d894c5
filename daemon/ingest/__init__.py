"""From finished drops to one batch in the dataset: reading, exams, holding, recording, committing, clearing and forgetting."""
