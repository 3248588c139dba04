// Giving single calls, a follower and a worker up. Nobody listens at the address, so that they wait
// until they are cancelled.
#include <triggers.hpp>

#include <chrono>
#include <iostream>

using namespace std::chrono_literals;

template <class T> static bool cancelled(std::future<T> &call)
{
    try {
        call.get();
    } catch (const triggers::Error &error) {
        return error.code() == triggers::Code::cancelled && error.reason() == "CALL_CANCELLED";
    }
    return false;
}

int main()
{
    triggers::Options options;
    options.urls = "ws://127.0.0.1:1/rpc";
    triggers::Client client(options);
    const int tag = 0;
    auto created = client.create_async({"crm", "lead.created", "{}"}, {1min, &tag});
    auto listed = client.list_async({}, {1min, &tag});
    auto other = client.get_async(triggers::make_event_id(), 1min);
    client.cancel(&tag);
    if (!cancelled(created) || !cancelled(listed)) {
        std::cerr << "a call with the tag did not end as cancelled\n";
        return 1;
    }
    if (other.wait_for(0s) == std::future_status::ready) {
        std::cerr << "a call without the tag ended too\n";
        return 1;
    }
    triggers::Follower follower = client.follow({}, 1min);
    auto found = std::async(std::launch::async, [&] { return follower.next(); });
    auto stopping = std::async(std::launch::async, [&] { follower.stop(); });
    if (found.get()) {
        std::cerr << "a follower that was stopped has an event\n";
        return 1;
    }
    triggers::Worker worker(client, "inbox", [](const triggers::Delivery &) {});
    if (worker.wait_for(0s)) {
        std::cerr << "a worker without a core has stopped by itself\n";
        return 1;
    }
    worker.stop();
    worker.wait();
    if (!worker.wait_for(1min)) {
        std::cerr << "a worker that was stopped goes on\n";
        return 1;
    }
    return 0;
}
