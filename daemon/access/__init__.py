"""Who may use the service over HTTP: tokens and the folder of records that keeps them."""
