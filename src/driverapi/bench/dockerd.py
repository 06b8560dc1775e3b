"""A Docker engine of one's own, for benchmarks and tests: it touches nothing of the machine's, and leaves nothing.

``dockerd`` runs in a PID and a mount namespace of its own: ``/run`` is a fresh tmpfs there, data and exec root stand
on another, and when the first process of that PID namespace is killed, so are containers, shims and containerd.
A supervisor outside holds the read end of a pipe: when the program that wanted the engine closes it or
dies, however it dies, the supervisor ends the engine and removes its directory and its control groups.

Debian's packages ``docker.io``, ``iptables`` and ``busybox-static`` are what it needs, and root. The package itself
never imports this.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

__all__ = ["BUSYBOX", "DOCKERD", "Container", "Engine", "EngineError", "missing"]

DOCKERD = "/usr/sbin/dockerd" if os.access("/usr/sbin/dockerd", os.X_OK) else shutil.which("dockerd") or "dockerd"
BUSYBOX = "/bin/busybox"
IMAGE = "busybox"
_START = 30.0
_STOP = 10.0
_CGROUPS = "/sys/fs/cgroup"

# $1: a directory that is there outside too, for the socket; $2: "own" for a network namespace of its own.
_INSIDE = """
set -e
directory=$1
mkdir "$1/private"
mount -t tmpfs -o mode=700 tmpfs "$1/private"
mount -t tmpfs tmpfs /run
if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi  # the daemon writes a key there
# It would load modules into the machine's kernel; what a rule needs, the kernel loads itself.
for program in /sbin/modprobe /usr/sbin/modprobe; do
    if [ -x "$program" ]; then mount --bind /bin/true "$program"; fi
done
if [ "$2" = own ]; then ip link set lo up; fi
shift 2
while :; do
    "$@" &
    wait $! || true
    while [ -e "$directory/crashed" ]; do sleep 0.02; done
    [ -e "$directory/again" ] || break
    rm "$directory/again"
done
"""


class EngineError(RuntimeError):
    """The engine did not start, or answered with an error; the text is the daemon's."""


def missing() -> str:
    """Tell what an engine needs and is not here, in words; nothing if all is."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    # In a user namespace we are root too, but the control groups are somebody else's.
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return "a Docker engine needs root outside of user namespaces"
    wanted = {DOCKERD: "docker.io", "containerd": "containerd", "runc": "runc", "iptables": "iptables"}
    wanted |= {BUSYBOX: "busybox-static"}
    absent = [f"{program} ({package})" for program, package in wanted.items() if shutil.which(program) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container that runs.

    Attributes
    ----------
    id, name : str
        As the engine has them.
    netns : str
        Path of its network namespace, to be opened from outside.
    """

    id: str
    name: str
    netns: str


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker", timeout=120)
        self._path = path

    def connect(self) -> None:
        """Connect to the daemon's socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """An engine from construction to :meth:`close`; also a context manager.

    Parameters
    ----------
    share_network : bool
        True: it works in the network namespace of the calling thread, which must not be that of
        the machine. False: in one of its own.
    arguments : sequence of str
        More of them for ``dockerd``.

    Attributes
    ----------
    socket : str
        Path of its API socket.

    Thread safety: one thread at a time.

    Raises
    ------
    EngineError
        Something it needs is missing, or it did not start.
    ValueError
        It was to share the machine's own network.
    """

    def __init__(self, *, share_network: bool = False, arguments: tuple[str, ...] = ()) -> None:
        if reason := missing():
            raise EngineError(reason)
        if share_network and _in_the_machines_network():
            raise ValueError("this is the machine's own network: enter a network namespace first")
        self._cgroup = f"driverapi-{os.getpid()}-{secrets.token_hex(4)}"
        # Not where TMPDIR says: the path of a socket has 107 bytes at most.
        self._directory = tempfile.mkdtemp(prefix="engine-", dir="/tmp")
        self.socket = f"{self._directory}/docker.sock"
        private = f"{self._directory}/private"
        # fmt: off
        daemon = [
            DOCKERD, "--host", f"unix://{self.socket}", "--data-root", f"{private}/data",
            "--exec-root", f"{private}/exec", "--pidfile", f"{private}/pid",
            "--cgroup-parent", self._cgroup, "--exec-opt", "native.cgroupdriver=cgroupfs",
            "--storage-driver", "vfs", "--log-level", "warn", *arguments,
        ]
        unshare = [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *["--net"] * (not share_network),
            "/bin/sh", "-c", _INSIDE, "engine", self._directory, "shared" if share_network else "own", *daemon,
        ]
        # fmt: on
        # A session of its own: Ctrl-C is for us, and the supervisor sees the pipe close.
        self._supervisor = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", __file__, self._directory, self._cgroup, *unshare],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._connection = _Connection(self.socket)
        try:
            assert self._supervisor.stdout is not None
            self._pid = int(self._supervisor.stdout.readline())
            self._wait_for_start()
        except BaseException:
            self.close()
            raise

    def _wait_for_start(self) -> None:
        deadline = time.monotonic() + _START
        while True:
            try:
                self.request("GET", "/_ping")
            except OSError as error:
                self._connection.close()
                if time.monotonic() > deadline or self._has_ended():
                    raise EngineError(f"dockerd did not start: {self.log()[-2000:] or error}") from None
                time.sleep(0.05)
            else:
                return

    def _has_ended(self) -> bool:
        """Tell whether the daemon is a zombie; its supervisor waits for us, not for it."""
        try:
            return Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    def crash(self) -> None:
        """Kill the daemon, and nothing else of what it has: containers go on. :meth:`revive` starts it again."""
        for mark in ("again", "crashed"):
            Path(self._directory, mark).touch()
        self._connection.close()
        inside = self._inside()
        for child in Path(f"/proc/{inside}/task/{inside}/children").read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == os.path.basename(DOCKERD):
                    os.kill(int(child), signal.SIGKILL)

    def revive(self) -> None:
        """Start a daemon that was crashed."""
        Path(self._directory, "crashed").unlink()
        self._wait_for_start()

    def log(self) -> str:
        """Return what the daemon has said so far."""
        with suppress(OSError):
            return Path(self._directory, "log").read_text(errors="replace")
        return ""

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the API, on a connection that is kept; return the document, text that is none, or None.

        Raises
        ------
        EngineError
            It answered with an error.
        OSError
            It did not answer.
        """
        data, kind = (body, "application/x-tar") if isinstance(body, bytes) else (json.dumps(body), "application/json")
        headers = {"Content-Type": kind} if body is not None else {}
        try:
            self._connection.request(method, path, None if body is None else data, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except http.client.HTTPException as error:
            self._connection.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        text = content.decode(errors="replace").strip()
        if answer.status >= 400:
            raise EngineError(f"{method} {path}: {answer.status}: {text}")
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text

    def import_busybox(self) -> str:
        """Make an image of busybox alone, as ``docker import`` does; return its name."""
        tree = io.BytesIO()
        with tarfile.open(fileobj=tree, mode="w") as tar:
            tar.add(os.path.realpath(BUSYBOX), "bin/busybox")
            for name in ("sh", "sleep", "ip", "ping", "cat"):
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self.request("POST", f"/images/create?fromSrc=-&repo={IMAGE}&tag=latest", tree.getvalue())
        return IMAGE

    def create_network(self, name: str, **options: Any) -> str:
        """Make a network; return its id. ``options`` are the API's: ``Driver``, ``IPAM`` and so on."""
        made = self.request("POST", "/networks/create", {"Name": name, "CheckDuplicate": True, **options})
        identifier: str = made["Id"]
        return identifier

    def run(self, name: str, *, network: str = "bridge", image: str = IMAGE) -> Container:
        """Start a container that sleeps."""
        document = {"Image": image, "Cmd": ["/bin/sleep", "1000000"], "HostConfig": {"NetworkMode": network}}
        made = self.request("POST", f"/containers/create?name={quote(name)}", document)
        self.request("POST", f"/containers/{made['Id']}/start")
        about = self.request("GET", f"/containers/{made['Id']}/json")
        # The key is a path in the engine's mount namespace; through its process it is one in ours.
        key = about["NetworkSettings"]["SandboxKey"].replace("/var/run/", "/run/")
        return Container(made["Id"], name, f"/proc/{self._inside()}/root{key}")

    def connect(self, network: str, container: str) -> None:
        """Equivalent to: ``docker network connect``."""
        self.request("POST", f"/networks/{network}/connect", {"Container": container})

    def disconnect(self, network: str, container: str) -> None:
        """Equivalent to: ``docker network disconnect``."""
        self.request("POST", f"/networks/{network}/disconnect", {"Container": container})

    def endpoint(self, container: str, network: str) -> dict[str, Any]:
        """Return what the engine says of a container's endpoint: ``IPAddress``, ``Gateway`` and so on."""
        networks = self.request("GET", f"/containers/{container}/json")["NetworkSettings"]["Networks"]
        endpoint: dict[str, Any] = networks[network]
        return endpoint

    @property
    def process(self) -> int:
        """Number of a process in its namespaces: ``/proc/N/root`` is its file tree, ``/proc/N/ns/net`` its network."""
        return self._inside()

    def _inside(self) -> int:
        """Return the number that the first process of the engine's PID namespace has in ours."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        """End it, its containers too; twice is no error."""
        self._connection.close()
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe is not None:
                pipe.close()
        self._supervisor.wait(timeout=4 * _STOP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def _in_the_machines_network() -> bool:
    """Tell whether we are in the first process's or our parent's; one that may not be looked at is not ours."""
    ours = os.stat("/proc/thread-self/ns/net")
    for process in (1, os.getppid()):
        with suppress(OSError):
            if os.path.samestat(ours, os.stat(f"/proc/{process}/ns/net")):
                return True
    return False


def _remove_cgroups(name: str) -> None:
    """Remove the control groups of that name and below, in every hierarchy; they are empty."""
    root = Path(_CGROUPS)
    for top in (root / name, *root.glob(f"*/{name}")):
        for directory, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                os.rmdir(directory)


def _supervise(directory: str, cgroup: str, command: list[str]) -> None:
    """Run the engine until standard input ends; then end it and clear up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(directory, "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # noqa: S603
    print(process.pid, flush=True)
    sys.stdin.buffer.read()
    process.kill()  # --kill-child: the first process inside dies with it, and with that all others
    process.wait()
    deadline = time.monotonic() + _STOP
    while time.monotonic() < deadline:
        _remove_cgroups(cgroup)
        if not any(Path(_CGROUPS).glob(f"*/{cgroup}")) and not Path(_CGROUPS, cgroup).exists():
            break
        time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    _supervise(sys.argv[1], sys.argv[2], sys.argv[3:])
