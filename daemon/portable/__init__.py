"""A version as a scikit-learn pipeline that needs nothing of retraind: what MLflow gets, and what an export is made of."""
