local paths = {}
for id in io.lines(os.getenv("BENCH_IDS")) do
    paths[#paths + 1] = "/api/v1/events/" .. id
end
local last = 0

function request()
    last = last % #paths + 1
    return wrk.format("GET", paths[last])
end
