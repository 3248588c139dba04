wrk.method = "POST"
wrk.path = "/api/v1/events"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"source":"billing","event_type":"invoice.paid","payload":' .. os.getenv("BENCH_PAYLOAD") .. "}"
