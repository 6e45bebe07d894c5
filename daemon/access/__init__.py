"""Access over HTTP: tokens and the folder of records that keeps them."""
