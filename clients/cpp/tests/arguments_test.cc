// Arguments that would become others on their way into C. Nobody listens at the address.
#include <triggers.hpp>

#include <chrono>
#include <cmath>
#include <iostream>

#include "triggers/stats/v1/stats.pb-c.h"

using namespace std::chrono_literals;
using Seconds = std::chrono::duration<double>;

static int failed = 0;

template <class Call> static void expect(const char *reason, Call call)
{
    std::string found = "nothing";
    try {
        call();
    } catch (const triggers::Error &error) {
        found = error.reason();
    }
    if (found == reason)
        return;
    std::cerr << found << " instead of " << reason << '\n';
    failed = 1;
}

static triggers::Options options_with(triggers::Timeout timeout)
{
    triggers::Options options;
    options.urls = "ws://127.0.0.1:1/rpc";
    options.timeout = timeout;
    return options;
}

// What a worker is refused with before it starts.
static void expect_refused(const triggers::Client &client)
{
    const auto handle = [](const triggers::Delivery &) {};
    const auto work = [&](const char *subscription, std::uint32_t concurrency,
                          std::chrono::seconds lease) {
        triggers::WorkOptions options;
        options.concurrency = concurrency;
        options.lease = lease;
        client.worker(subscription, handle, options);
    };
    expect("LEASE_INVALID", [&] { work("s", 1, -1s); });
    expect("LEASE_INVALID", [&] { work("s", 1, 43201s); });
    expect("WORKER_NOT_STARTED", [&] { work("s", 1001, 1s); });
    expect("HANDLER_MISSING", [&] { triggers::Worker worker(client, "s", nullptr); });
    const std::string text("a\0b", 3);
    expect("SUBSCRIPTION_INVALID", [&] { triggers::Worker worker(client, text, handle); });
}

int main()
{
    const triggers::Client client(options_with(1min));
    expect_refused(client);
    const auto wait = [&](triggers::CallOptions how) { client.health_async(how).get(); };
    expect("TIMEOUT_INVALID", [&] { wait(-1ms); });
    expect("TIMEOUT_INVALID", [&] { wait(std::chrono::hours::max()); });
    expect("TIMEOUT_INVALID", [&] { wait(4294967296ms); });
    expect("TIMEOUT_INVALID", [&] { wait(Seconds(std::nan(""))); });
    expect("TIMEOUT_INVALID", [&] { wait(Seconds(INFINITY)); });
    expect("TIMEOUT_INVALID", [] { triggers::Client other(options_with(-1ms)); });
    const auto open_with_key = [](const std::string &key) {
        triggers::Options options = options_with(1s);
        options.api_key = key;
        triggers::Client other(options);
    };
    expect("CLIENT_NOT_OPENED", [&] { open_with_key("two words"); });
    expect("API_KEY_INVALID", [&] { open_with_key(std::string("a\0b", 3)); });
    expect("nothing", [&] { open_with_key("trg_1"); });
    const auto open_with_source = [](std::function<std::string()> source) {
        triggers::Options options = options_with(1s);
        options.api_key_source = std::move(source);
        triggers::Client other(options);
        triggers::Client moved(std::move(other));
        moved.get("evt_1");
    };
    expect("API_KEY_INVALID", [&] { open_with_source([] { return ""; }); });
    expect("KEY_UNAVAILABLE", [&] { open_with_source([]() -> std::string { throw 1; }); });
    expect("API_KEY_INVALID", [&] { open_with_source([] { return std::string(256, 'x'); }); });
    expect("API_KEY_INVALID", [&] { open_with_source([] { return std::string("a\0b", 3); }); });
    expect("CORE_UNREACHABLE", [&] { open_with_source([] { return "trg_1"; }); });
    // Not the client's minute.
    expect("CORE_UNREACHABLE", [&] { wait(1us); });

    const std::string text("a\0b", 3);
    expect("SOURCE_INVALID", [&] { client.create({text, "t", "{}"}); });
    expect("EVENT_TYPE_INVALID", [&] { client.create_batch({{"s", text, "{}"}}); });
    triggers::NewEvent delayed{"s", "t", "{}"};
    delayed.delay = -1s;
    expect("DELAY_INVALID", [&] { client.create(delayed); });
    delayed.delay = 31 * 24h + 1s;
    expect("DELAY_INVALID", [&] { client.create_batch({delayed}); });
    delayed.delay = 1s;
    delayed.deliver_at = triggers::Time(std::chrono::microseconds(1));
    expect("DELIVERY_INVALID", [&] { client.create(delayed); });
    triggers::NewEvent ordered{"s", "t", "{}"};
    ordered.ordering_key = text;
    expect("ORDERING_KEY_INVALID", [&] { client.create(ordered); });
    expect("EVENT_ID_INVALID", [&] { client.get(text); });
    expect("EVENT_ID_INVALID", [&] { client.ack_batch({text}); });
    expect("EVENT_ID_INVALID", [&] { client.erase(text); });

    const Triggers__Stats__V1__GetStatsRequest stats = TRIGGERS__STATS__V1__GET_STATS_REQUEST__INIT;
    const auto call = [&](const std::string &method, const triggers::CallOptions &how) {
        client.call<Triggers__Stats__V1__GetStatsResponse>(method, stats, how);
    };
    const std::string get_stats = "triggers.stats.v1.StatsService/GetStats";
    expect("METHOD_UNKNOWN", [&] { call("triggers.stats.v1.StatsService/Unheard", {}); });
    expect("METHOD_INVALID", [&] { call(get_stats + text, {}); });
    expect("REQUEST_INVALID", [&] { call("triggers.health.v1.Health/Check", {}); });
    expect("CORE_UNREACHABLE", [&] { call(get_stats, 1us); });
    triggers_reply given{};
    given.message = &stats.base; // not the response that is asked for
    triggers::detail::Reply reply(&given);
    using Response = Triggers__Stats__V1__GetStatsResponse;
    expect("RESPONSE_INVALID", [&] { triggers::detail::to_answer<Response>(reply); });
    (void)reply.release();
    triggers::CallOptions traced;
    traced.traceparent = text;
    expect("TRACEPARENT_INVALID", [&] { call(get_stats, traced); });

    triggers::Options options;
    options.name = text;
    expect("NAME_INVALID", [&] { triggers::Client other(options); });
    return failed;
}
