"""Static check of the native code with gcc's analyser: the C that Cython made, and the kernel floor of the benchmarks.

    .ci/analyse.py FILE.c …

What is sure to be a fault where it is found fails; the rest is printed. That the analyser sees anything at all is
tried first, on faults that are planted.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FAILS = {
    "double-free",
    "fd-access-mode-mismatch",
    "fd-double-close",
    "fd-leak",
    "fd-use-after-close",
    "free-of-non-heap",
    "malloc-leak",
    "mismatching-deallocation",
    "shift-count-negative",
    "shift-count-overflow",
    "use-after-free",
    "use-of-uninitialized-value",
    "write-to-const",
    "write-to-string-literal",
}

PLANTED = {
    "double-free": "void f(void *p) { free(p); free(p); }",
    "use-after-free": "int f(int *p) { free(p); return *p; }",
    "malloc-leak": "int f(void) { char *p = malloc(9); if (!p) return 1; p[0] = 0; return 0; }",
    "fd-leak": 'int f(void) { int fd = open("x", 0); if (fd < 0) return 1; return 0; }',
    "fd-double-close": "void f(int fd) { close(fd); close(fd); }",
    "use-of-uninitialized-value": "int f(void) { int x; return x; }",
}
HEADERS = "#include <fcntl.h>\n#include <stdlib.h>\n#include <unistd.h>\n"


def analyse(file: str, text: str | None = None) -> tuple[list[str], int]:
    """Return the analyser's lines on a file, and how many functions it gave up on."""
    command = ["gcc", "-std=gnu11", "-O1", "-fanalyzer", "-Wanalyzer-too-complex", "-fdiagnostics-plain-output"]
    command += ["-fdiagnostics-path-format=none", "-c", "-o", os.devnull, f"-isystem{sysconfig.get_path('include')}"]
    command += ["-xc", "-"] if text is not None else [file]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{file}: gcc: {done.stderr[-2000:]}")
    lines = [line for line in done.stderr.splitlines() if "[-Wanalyzer-" in line]
    found = [line for line in lines if "[-Wanalyzer-too-complex]" not in line]
    return found, len(lines) - len(found)


def kinds(lines: list[str]) -> set[str]:
    return {kind for line in lines for kind in re.findall(r"\[-Wanalyzer-([a-z-]+)\]", line)}


def main(files: list[str]) -> int:
    if not files:
        raise SystemExit(__doc__)
    said = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=True).stdout
    version = int(said.split(".")[0])
    if version < 12:
        print(f"NOT CHECKED: the analyser of gcc {version} knows too little; 12 or later is needed")
        return 0
    for kind, text in PLANTED.items():
        if kind.startswith("fd-") and version < 13:  # it learnt of descriptors then
            continue
        if kind not in kinds(analyse(kind, HEADERS + text)[0]):
            raise SystemExit(f"the analyser does not see a planted {kind}")
    failed = given_up = 0
    by_size = sorted(files, key=lambda file: -Path(file).stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for lines, complex_ones in pool.map(analyse, by_size):
            given_up += complex_ones
            for line in lines:
                print(line)
                failed += bool(kinds([line]) & FAILS)
    print(f"{len(files)} files, {failed} faults; {given_up} places were too complex to be followed to the end")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
