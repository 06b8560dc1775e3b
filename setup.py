"""Builds the native core; everything else about the package stands in pyproject.toml.

Switches (environment, ``1`` to turn on):

``DRIVERAPI_DEBUG``     no optimisation, debug symbols, the compiler's full warnings
``DRIVERAPI_SANITIZE``  AddressSanitizer and UndefinedBehaviorSanitizer
``DRIVERAPI_COVERAGE``  line tracing, for coverage of the ``.pyx`` files
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


def switched_on(name: str) -> bool:
    """Tell whether the environment turns a switch on."""
    return os.environ.get(name, "") not in ("", "0")


DEBUG = switched_on("DRIVERAPI_DEBUG")
SANITIZE = switched_on("DRIVERAPI_SANITIZE")
COVERAGE = switched_on("DRIVERAPI_COVERAGE")

# The one table of compiler directives. binding=False: CyFunction binding defeats
# CPython's specialisation of method calls, which the hot methods live from.
DIRECTIVES: dict[str, object] = {
    "language_level": 3,
    "binding": False,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "embedsignature": True,
    "linetrace": COVERAGE,
}

compile_args = ["-std=c11", "-fvisibility=hidden"]
link_args: list[str] = []
macros: list[tuple[str, str | None]] = []
if DEBUG:
    compile_args += ["-O0", "-g3", "-Wall", "-Wextra", "-Wconversion"]
else:
    compile_args += ["-O3", "-g1"]
if SANITIZE:
    sanitizers = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
    compile_args += sanitizers
    link_args += sanitizers
if COVERAGE:
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]

extensions = [
    Extension(
        f"_fastnet.{source.stem}",
        [source.as_posix()],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
    )
    for source in sorted(Path("src/_fastnet").glob("*.pyx"))
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        compiler_directives=DIRECTIVES,
        nthreads=os.cpu_count() or 1,
        gdb_debug=False,
    )
)
