"""Load on a server: a closed loop by ``wrk``, and an open loop that keeps to a schedule whatever the server does."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_LUA = """
local bodies = {}
for line in io.lines("%(bodies)s") do bodies[#bodies + 1] = line end
local headers = {%(headers)s}
local requests, at = {}, 0
function init(args)
  for place, body in ipairs(bodies) do requests[place] = wrk.format("POST", "%(path)s", headers, body) end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
function done(summary, latency, rate)
  local errors = summary.errors
  io.stderr:write(string.format('{"requests":%%d,"wall_us":%%d,"p50_us":%%d,"p99_us":%%d,"errors":%%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def closed(running, connections, seconds, cores):
    """Each connection asks again as soon as it has its answer: requests/s, and latencies in microseconds."""
    server = running.server
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bodies").write_bytes(b"\n".join(server.bodies) + b"\n")
        headers = {"content-type": "application/json", **server.headers}
        lines = ",".join(f'["{key}"]="{value}"' for key, value in headers.items())
        script = folder / "post.lua"
        script.write_text(_LUA % {"bodies": folder / "bodies", "headers": lines, "path": server.path}, "utf-8")
        words = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
        done = subprocess.run(
            [*words, f"http://127.0.0.1:{running.port}"],
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    told = json.loads(done.stderr[done.stderr.index("{") :])
    told["requests_s"] = told["requests"] / (told["wall_us"] / 1e6)
    return told


def open_loop(running, rate, seconds, cores, connections=64):
    """Requests leave at random moments at a mean rate; see :mod:`servers.arrivals`."""
    server = running.server
    plan = {
        "port": running.port,
        "path": server.path,
        "headers": {"content-type": "application/json", **server.headers},
        "bodies": [body.decode() for body in server.bodies],
        "rate": rate,
        "seconds": seconds,
        "connections": connections,
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "arrivals.py")],
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if done.returncode:
        raise RuntimeError(f"the load ended: {(done.stderr.strip().splitlines() or ['without a word'])[-1][:200]}")
    return json.loads(done.stdout)
