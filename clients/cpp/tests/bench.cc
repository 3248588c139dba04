// What tests/bench/run measures: bench URL IN_FLIGHT SECONDS PAYLOAD; see clients/conformance.
#include <triggers.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace
{

using Clock = std::chrono::steady_clock;

// Creates one event after another until `end`; returns the latencies of calls begun after `begin`.
std::vector<Clock::duration> create_until(const triggers::Client &client,
                                          const triggers::NewEvent &event, Clock::time_point begin,
                                          Clock::time_point end)
{
    std::vector<Clock::duration> latencies;
    for (auto started = Clock::now(); started < end;) {
        client.create(event);
        auto done = Clock::now();
        if (started >= begin && done <= end)
            latencies.push_back(done - started);
        started = done;
    }
    return latencies;
}

} // namespace

int main(int, char **argv)
{
    const triggers::Client client({argv[1]});
    const triggers::NewEvent event{"billing", "invoice.paid", argv[4]};
    client.health();
    const auto begin = Clock::now() + std::chrono::seconds(1);
    const auto end = begin + std::chrono::seconds(std::stoi(argv[3]));
    std::vector<std::vector<Clock::duration>> latencies(std::stoul(argv[2]));
    std::vector<std::thread> threads;
    for (auto &own : latencies)
        threads.emplace_back([&] { own = create_until(client, event, begin, end); });
    for (auto &thread : threads)
        thread.join();
    for (const auto &own : latencies)
        for (auto latency : own)
            std::cout << std::chrono::duration_cast<std::chrono::microseconds>(latency).count()
                      << '\n';
}
