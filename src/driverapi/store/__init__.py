"""Where the state of networks, endpoints and sandboxes is kept."""
