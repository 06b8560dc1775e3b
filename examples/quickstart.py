"""The contract in a few lines. Run it as root, or by ``unshare -Urnm`` with ``DRIVERAPI_RUN_DIR`` set."""

from driverapi import Controller

with Controller() as ctl:
    net = ctl.create_network("bridge", "web", ipv4="10.77.0.0/16", ipv6="fd77::/64")
    box = ctl.create_sandbox("container-1")
    ep = net.create_endpoint("ep1", ipv4="10.77.0.9")
    ep.join(box)
    print(f"{ep.name}: {ep.interfaces[0].address} and {ep.interfaces[0].address_ipv6} in {box.key}")
    ep.leave(box)
    ep.delete()
    with net.attached(50) as eps:
        up = [one for one in eps if one.error is None]
        print(f"{len(up)} of {len(eps)} are up, gateway {net.gateway}; {len(net.endpoints)} endpoints in all")
    net.delete()
