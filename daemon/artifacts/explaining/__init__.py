"""Explanations: what moved the answer to one row, by feature. Shared with `web`; each module is imported at the first request for one."""
