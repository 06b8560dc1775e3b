"""Published ports, many at once. C level: nothing."""
