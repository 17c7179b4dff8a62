"""What clients speak: endpoints, errors, the OpenAPI document."""
