"""The inbox as a folder that others write to: which drops are finished, and where refused ones go."""
