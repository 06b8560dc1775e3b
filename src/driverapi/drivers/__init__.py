"""The drivers of this package; :data:`driverapi.registry.BUILTIN` lists them."""
