"""``python -m driverapi``: the command line, where the console script is not on the path."""

from driverapi.cli import main

main()
