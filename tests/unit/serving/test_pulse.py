import asyncio
import time

from seakeep.serving.pulse import BEAT_S, Pulse


def test_a_loop_that_is_held_up_rings_late_and_its_processor_time_counts():
    async def work():
        pulse = Pulse(asyncio.get_running_loop())
        pulse.start()
        before = pulse.used()
        until = time.thread_time() + 4 * BEAT_S
        while time.thread_time() < until:
            pass
        while pulse.used().lags == before.lags:  # noqa: ASYNC110 -- a measured number, not an event
            await asyncio.sleep(BEAT_S / 10)
        held = pulse.used()
        pulse.stop()
        return before, held

    before, held = asyncio.run(work())
    assert held.lag_us >= 3 * BEAT_S * 1e6 - 10_000
    assert held.loop_us - before.loop_us >= 4 * BEAT_S * 1e6 - 1
    assert held.cpu_us >= held.loop_us - before.loop_us
    assert 1_000_000 < held.memory_bytes < 2**40


def test_after_it_was_stopped_nothing_is_measured():
    async def work():
        pulse = Pulse(asyncio.get_running_loop())
        pulse.stop()
        pulse.start()
        pulse.stop()
        await asyncio.sleep(2 * BEAT_S)
        return pulse.used().lags

    assert asyncio.run(work()) == 0
