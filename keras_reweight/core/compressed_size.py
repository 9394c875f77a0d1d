"""How many bytes a stream takes compressed, without keeping it."""

from __future__ import annotations

import gzip


class GzipSize:
    """A gzip archive of which only the size is kept; use it in a `with` statement."""

    def __init__(self):
        self._file = _CountingFile()
        self._archive = gzip.GzipFile(fileobj=self._file, mode="wb", compresslevel=6, mtime=0)

    def write(self, payload: bytes) -> None:
        self._archive.write(payload)

    @property
    def num_bytes(self) -> int:
        """All of the archive, once it is closed."""
        return self._file.num_bytes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._archive.close()


class _CountingFile:
    """A file that counts what is written and keeps none of it."""

    def __init__(self):
        self.num_bytes = 0

    def write(self, data) -> int:
        self.num_bytes += len(data)
        return len(data)

    def flush(self) -> None:
        pass
