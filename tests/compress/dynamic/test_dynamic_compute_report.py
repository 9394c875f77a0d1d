from keras_compress.dynamic import DynamicComputeReport


def test_the_table_says_that_nothing_is_faster():
    report = DynamicComputeReport(1000, 50, 650.0, {"first": 0.6, "second": 0.25})
    assert report.saved == 0.35
    text = str(report)
    assert "60.0% active" in text and "35.0% saved, if a kernel skips channels" in text
    assert DynamicComputeReport(0, 0, 0.0, {}).saved == 0.0
