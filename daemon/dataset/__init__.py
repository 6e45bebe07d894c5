"""The dataset on disk: segments, their projection in DVC and git, known rows, merging, packing and repair."""
