"""What the journal records: one module for each noun, each over the same connection."""
