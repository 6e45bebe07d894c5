"""Parts of `retraind schema`: the notation of a column, from an example or from the stored rows."""
