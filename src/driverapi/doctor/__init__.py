"""What of ours is on this machine, whose it is, what is wrong with it, and the way to mend that.

``look`` finds instances and what they left, ``mend`` takes away or restores, ``probe`` asks the kernel what it can
do, ``limits`` which of its limits are near. Nothing is changed but by :func:`mend`, and that touches nothing
without our mark and nothing that has a living owner.
"""

from __future__ import annotations

from driverapi.doctor.limits import Limit, limits
from driverapi.doctor.look import Finding, InstanceFound, Report, examine
from driverapi.doctor.mend import mend
from driverapi.doctor.probe import Probe, probe

__all__ = ["Finding", "InstanceFound", "Limit", "Probe", "Report", "examine", "limits", "mend", "probe"]
