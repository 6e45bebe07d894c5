"""The dataset on disk: segments, DVC and git as their projection, known rows, merging, packing and repair."""
