"""Parts of the controller and its networks: addresses and pools, leases, warm pools, who may call and when."""
