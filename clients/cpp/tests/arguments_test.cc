// Arguments that would become others on their way into C. Nobody listens at the address.
#include <triggers.hpp>

#include <chrono>
#include <cmath>
#include <iostream>

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

int main()
{
    const triggers::Client client(options_with(1min));
    const auto wait = [&](triggers::CallOptions how) { client.health_async(how).get(); };
    expect("TIMEOUT_INVALID", [&] { wait(-1ms); });
    expect("TIMEOUT_INVALID", [&] { wait(std::chrono::hours::max()); });
    expect("TIMEOUT_INVALID", [&] { wait(4294967296ms); });
    expect("TIMEOUT_INVALID", [&] { wait(Seconds(std::nan(""))); });
    expect("TIMEOUT_INVALID", [&] { wait(Seconds(INFINITY)); });
    expect("TIMEOUT_INVALID", [] { triggers::Client other(options_with(-1ms)); });
    // Not the client's minute.
    expect("CORE_UNREACHABLE", [&] { wait(1us); });

    const std::string text("a\0b", 3);
    expect("SOURCE_INVALID", [&] { client.create({text, "t", "{}"}); });
    expect("EVENT_TYPE_INVALID", [&] { client.create_batch({{"s", text, "{}"}}); });
    expect("EVENT_ID_INVALID", [&] { client.get(text); });
    expect("EVENT_ID_INVALID", [&] { client.ack_batch({text}); });
    triggers::Options options;
    options.name = text;
    expect("NAME_INVALID", [&] { triggers::Client other(options); });
    return failed;
}
