"""What pyproject.toml cannot say: the wheel carries the book, cards, experiments and results, and its page no pictures.

They lie at the top of a clone, where people look for them, and in ``a2a/share`` of a wheel, where
`a2a.common.paths.repository` finds them. Weights are described there, and downloaded when they are asked for.
"""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CARRIED = (
    "_config.yml",
    "requirements.txt",
    "book/**/*",
    "data_cards/**/*.yaml",
    "experiments/**/*.yaml",
    "experiments/**/*.csv",
    "results/*",
    "weights/*.json",
)
PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)\n\n\*[^*]*\*\n\n")  # and the caption below it


def carried() -> list[str]:
    """Names of the files, below the root of a clone or of a source distribution."""
    paths = (path.relative_to(ROOT) for pattern in CARRIED for path in sorted(ROOT.glob(pattern)) if path.is_file())
    return [path.as_posix() for path in paths if not any(part.startswith(".") for part in path.parts)]


class BuildWithShare(build_py):
    """Build the package, and in a wheel put the carried files beside it."""

    def run(self) -> None:
        """Copy them, unless the installation is editable and reads them where they are."""
        super().run()
        if not self.editable_mode:
            for name in carried():
                target = Path(self.build_lib, "a2a", "share", name)
                self.mkpath(str(target.parent))
                self.copy_file(name, str(target))

    def get_source_files(self) -> list[str]:
        """List them for source distributions too."""
        return [*super().get_source_files(), *carried()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List them among what is installed."""
        share = Path(self.build_lib, "a2a", "share")
        return [*super().get_outputs(include_bytecode), *(str(share / name) for name in carried())]


setup(
    cmdclass={"build_py": BuildWithShare},
    long_description=PICTURE.sub("", (ROOT / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
