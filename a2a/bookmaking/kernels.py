"""The kernel of a chapter: the interpreter and the package that run `a2a`, and no process that outlives it.

Jupyter would take the first kernel called ``python3`` that lies on its path, which may be that of another environment.
"""

import os
import sys
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

import a2a

_START = """import sys
sys.path.insert(0, sys.argv.pop(1))
from a2a.common.children import end_with_parent
end_with_parent(int(sys.argv.pop(1)))
sys.path[:] = filter(None, sys.path)
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


class OwnKernel(AsyncKernelManager):
    """Starts the interpreter of this process, with this very package, whatever kernels Jupyter knows."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Command, name and language of the kernel."""
        words = [sys.executable, "-c", _START, str(Path(a2a.__file__).parents[1]), str(os.getpid())]
        return KernelSpec(argv=[*words, "-f", "{connection_file}"], display_name="a2a", language="python")
