"""MLflow's database: the file of the home, or a database on a PostgreSQL server with a fence against late writes."""
