-- wrk: one POST over and over (its body is in the file BENCH_BODY), and exact figures at the end.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.body = file:read("*a")
file:close()

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nBENCH {"seconds":%.6f,"requests":%d,"bytes":%d,"p50":%.1f,"p99":%.1f,"status":%d,"socket":%d}\n',
    summary.duration / 1e6, summary.requests, summary.bytes,
    latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
