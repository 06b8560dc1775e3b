"""The life of endpoints: what drivers and dataplanes are asked, what is noted of it, what a restart makes of that."""
