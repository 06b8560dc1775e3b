"""Published ports as elements of nftables' maps. C level: nothing."""
