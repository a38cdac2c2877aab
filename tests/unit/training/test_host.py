import platform

from seakeep.training.host import cpu_class

INTEL = """processor\t: 0
model name\t: Example CPU @ 2.00GHz
flags\t\t: fpu sse4_2 avx avx2

processor\t: 1
model name\t: Example CPU @ 2.00GHz
flags\t\t: fpu sse4_2 avx avx2
"""


def test_the_hardware_class_is_the_model_and_its_widest_vectors(tmp_path):
    (tmp_path / "cpuinfo").write_text(INTEL)
    assert cpu_class(tmp_path / "cpuinfo") == "Example CPU @ 2.00GHz avx2"


def test_without_a_description_the_hardware_class_is_the_platforms(tmp_path):
    assert cpu_class(tmp_path / "absent") in {platform.processor(), platform.machine()}
