"""The description of the service as an OpenAPI document."""
