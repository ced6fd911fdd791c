"""Makes small stand-ins for the CUDA libraries that PyTorch's own libraries name.

PyTorch for Linux comes with CUDA alone. Importing it needs the libraries of CUDA to be there, a gigabyte and a
half, although nothing in them runs on a machine without a GPU. Each stand-in has the name, the symbols and the
symbol versions that PyTorch asks for; a call of one of its functions ends the process. `torch.cuda.is_available()`
is false with them.

Usage: stubs.py FOLDER, where FOLDER contains the package torch. Needs `readelf`, `nm` and `cc`.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

# How the names of CUDA's libraries and functions begin.
LIBRARIES = re.compile(r"lib(cu|nccl|nv)")
FUNCTIONS = re.compile(r"(cu|nccl|nv)")
# The library that gets the functions that have no symbol version.
UNVERSIONED = "libcusparseLt.so.0"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main(folder):
    libraries = sorted((folder / "torch" / "lib").glob("*.so"))
    target = folder / "nvidia" / "cu13" / "lib"
    needed, library_of, symbols = set(), {}, collections.defaultdict(set)
    for library in libraries:
        names = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-dW", library))
        needed |= {name for name in names if LIBRARIES.match(name)}
        current = None
        for line in output("readelf", "-VW", library).splitlines():
            if found := re.search(r"File: (\S+)", line):
                current = found.group(1)
            elif found := re.search(r"Name: (\S+)\s+Flags", line):
                library_of[found.group(1)] = current
        for line in output("nm", "-D", "--undefined-only", library).splitlines():
            name, _, version = line.split()[-1].partition("@")
            if FUNCTIONS.match(name):
                symbols[library_of.get(version.lstrip("@"), UNVERSIONED), version.lstrip("@")].add(name)
    for name in sorted(needed):
        # The CUDA runtime itself is small, and its functions are called while PyTorch is loaded.
        if (target / name).exists():
            continue
        build(target / name, {version: names for (of, version), names in symbols.items() if of == name})


def build(path, versions):
    """Compiles one stand-in: every function is an illegal instruction"""
    code, script = [".text"], []
    for version, names in versions.items():
        for name in sorted(names):
            code += [f".globl {name}", f".type {name},@function", f"{name}:"]
        if version:
            script.append(f"{version} {{ global: {'; '.join(sorted(names))}; }};")
    code += ["ud2", '.section .note.GNU-stack,"",@progbits', ""]
    with tempfile.TemporaryDirectory() as scratch:
        source, map_file = pathlib.Path(scratch, "stub.s"), pathlib.Path(scratch, "stub.map")
        source.write_text("\n".join(code))
        map_file.write_text("\n".join(script))
        options = [f"-Wl,--version-script={map_file}"] if script else []
        output("cc", "-shared", "-nostdlib", f"-Wl,-soname,{path.name}", *options, "-o", path, source)


main(pathlib.Path(sys.argv[1]))
