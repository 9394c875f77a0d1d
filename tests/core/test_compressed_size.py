import gzip

from keras_reweight.core.compressed_size import GzipSize


def test_size_is_that_of_the_archive():
    payload = bytes(range(256)) * 50
    with GzipSize() as archive:
        archive.write(payload[:100])
        archive.write(payload[100:])
    assert archive.num_bytes == len(gzip.compress(payload, compresslevel=6, mtime=0))
