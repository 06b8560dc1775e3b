"""Address management: who gives addresses, and to whom."""
