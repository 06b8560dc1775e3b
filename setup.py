"""Builds the native core; everything else about the package stands in pyproject.toml.

Switches (environment, ``1`` to turn on):

``DRIVERAPI_DEBUG``     no optimisation, debug symbols, the compiler's warnings
``DRIVERAPI_SANITIZE``  AddressSanitizer and UndefinedBehaviorSanitizer
``DRIVERAPI_COVERAGE``  line tracing, for coverage of the ``.pyx`` files

Flipping one, or changing flags, directives or Cython's version, builds everything again.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import Cython
from Cython.Build import cythonize
from setuptools import Extension, setup


def switched_on(name: str) -> bool:
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
    # As text that inspect.signature can read: help(), editors and stubtest then see it.
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "autotestdict": False,
    # No module has state of its own, and each class says what it promises to threads.
    "freethreading_compatible": True,
    "linetrace": COVERAGE,
}

# Off are only those that Cython's own C gives by design: methods that ignore self, helpers
# that a module does not need, and CPython's way of storing methods. CPython's own headers, from
# 3.13 on, convert as we may not: as a system's headers they are not warned of.
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wno-unused-parameter",
    "-Wno-unused-function",
    "-Wno-cast-function-type",
    f"-isystem{sysconfig.get_path('include')}",
]

compile_args = ["-std=c11", "-fvisibility=hidden"]
link_args: list[str] = []
macros: list[tuple[str, str | None]] = []
if DEBUG:
    compile_args += ["-O0", "-g3", "-UNDEBUG", *WARNINGS]
else:
    compile_args += ["-O3", "-g1"]
if SANITIZE:
    # Run with LD_PRELOAD="$(gcc -print-file-name=libasan.so)": Python itself is not instrumented.
    sanitizers = [
        "-fsanitize=address,undefined",
        "-fno-omit-frame-pointer",
        "-fno-sanitize-recover=undefined",
    ]
    compile_args += sanitizers
    link_args += sanitizers
if COVERAGE:
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]

# What the files in the tree were built with. Build tools compare times only, so without
# this file a flipped switch would silently change nothing.
recipe = Path("build/recipe")
steps = f"{Cython.__version__}\n{DIRECTIVES}\n{compile_args}\n{macros}\n"
changed = not recipe.exists() or recipe.read_text() != steps
if changed:
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(steps)

extensions = [
    Extension(
        f"_fastnet.{source.stem}",
        [source.as_posix()],
        depends=[recipe.as_posix()],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
    )
    for source in sorted(Path("src/_fastnet").glob("*.pyx"))
]

# cythonize follows the .pxd files itself: a changed one makes every module that cimports it anew.
setup(
    ext_modules=cythonize(extensions, include_path=["src"], compiler_directives=DIRECTIVES, force=changed),
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
