"""Mending: what nobody owns goes; a state whose process died is opened, so that it is restored, and closed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from driverapi import errors
from driverapi.dataplane.ipforward import host_forwarding
from driverapi.dataplane.linux import LinuxDataplane
from driverapi.doctor.look import InstanceFound, Report
from driverapi.instance import Instance
from driverapi.iptables import CHAIN, remove_rules
from driverapi.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from driverapi.plugin.server import Plugin

__all__ = ["mend"]


def mend(report: Report, forget: Sequence[str] = ()) -> list[str]:
    """Mend what can be; return a line for each thing that was done.

    Parameters
    ----------
    forget : sequence of str
        Ids of ``"unknown"`` instances that are to be taken for nobody's.

    Raises
    ------
    errors.BulkError
        Some could not be mended, each with its error; the rest is.
    """
    done: list[str] = []
    faults: list[Exception] = []
    instances = {one.id: one for one in report.instances}
    restored: set[str] = set()
    for finding in report.findings:
        try:
            if finding.kind in ("unclean", "differs"):
                if finding.instance not in restored:
                    restored.add(finding.instance)
                    done.append(_restore(instances[finding.instance]))
            elif finding.kind == "orphan" and not finding.instance:
                done.append(_put_back(Path(report.run_dir)))
            elif finding.kind == "orphan" or (finding.kind == "unknown" and finding.instance in forget):
                done.append(_take_away(Path(report.run_dir), instances[finding.instance]))
        except errors.DriverAPIError as error:
            if isinstance(error, errors.StateBusyError):
                done.append(f"instance {finding.instance} has come alive; left alone")
                continue
            error.add_note(finding.what)
            faults.append(error)
    if faults:
        raise errors.BulkError("doctor: not everything could be mended", faults)
    return done


def _restore(one: InstanceFound) -> str:
    from driverapi.controller import Controller  # all of the package, and only where there is a state to open

    plugin, driver = _plugin_of(one.state)
    owner: Controller | Plugin
    if plugin:
        from driverapi.plugin.server import Plugin

        owner = Plugin(driver, name=plugin, state=one.state, run_dir=Path(one.directory).parent)
    else:
        owner = Controller(state=one.state, run_dir=Path(one.directory).parent)
    with owner:
        found = owner.restored
    assert found is not None
    return (
        f"state {one.state}: {found.joined} endpoints live; {found.undone} undone, {found.finished} finished, "
        f"{len(found.down)} down, {len(found.lost_ports)} published ports lost, "
        f"{found.swept.links} links and {found.swept.namespaces} namespaces taken away"
    )


def _put_back(run_dir: Path) -> str:
    """Have the host forward as it did before there were networks that wanted it to."""
    with host_forwarding(run_dir) as forwarding:
        forwarding.unwant()
    return "net.ipv4.ip_forward is as it was"


def _plugin_of(path: str) -> tuple[str, str]:
    """Return the name of the plugin that a state is of, and its driver; nothing of a controller's."""
    store = SqliteStore(path, reading=True)
    try:
        return store.fact("plugin") or "", store.fact("driver") or ""
    finally:
        store.close()


def _take_away(run_dir: Path, one: InstanceFound) -> str:
    """Be the instance, know nothing of what it has, and take all of that away."""
    instance = Instance(run_dir, before=one.id)
    if instance.id != one.id:  # others have it since
        instance.close()
        raise errors.StateBusyError(f"instance {one.id} is alive")
    try:
        dataplane = LinuxDataplane(instance)
        try:
            swept = dataplane.survey().sweep()
        finally:
            dataplane.close()
        rules, refused = remove_rules(instance.id)  # nobody lives who could make more
        if refused:
            raise errors.KernelError(f"take rules of {instance.id} out of {CHAIN}: {refused}")
    except BaseException:
        instance.rest()
        raise
    instance.close()
    ruled = f", {rules} rules in {CHAIN}" if rules else ""
    tables = f", tables {', '.join(one.tables)}" if one.tables else ""
    return (
        f"instance {one.id}: taken away: {swept.links} links, {swept.namespaces} namespaces, "
        f"{swept.routes} routes{tables}{ruled}"
    )
