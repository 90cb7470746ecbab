"""What tests and benchmarks share: servers, harnesses, fixtures. Never imported by the product."""
