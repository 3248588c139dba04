// Works on the inbox until Ctrl-C, four events at once.
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <triggers.hpp>

static volatile std::sig_atomic_t interrupted;

// Done with an event when it returns; when it throws, the event comes again.
static void handle(const triggers::Delivery &delivery)
{
    const triggers::Event &event = delivery.event;
    // A line in one piece, as other threads print too.
    std::cout << event.event_id + ' ' + event.event_type + ' ' + event.payload + '\n' << std::flush;
}

int main()
{
    const char *core = std::getenv("TRIGGERS_CORE"); // none: this machine's
    const char *key = std::getenv("TRIGGERS_API_KEY");
    std::signal(SIGINT, [](int) { interrupted = 1; });
    try {
        triggers::Options options;
        options.urls = core ? core : "";
        options.api_key = key ? key : "";
        triggers::Client client(options);
        triggers::WorkOptions four;
        four.concurrency = 4;
        triggers::Worker worker(client, "inbox", handle, four);
        while (!interrupted && !worker.wait_for(std::chrono::milliseconds(200)))
            continue;
        worker.stop();
        worker.wait(); // what runs is finished and acknowledged
    } catch (const triggers::Error &error) {
        std::cerr << error.code_name() << ' ' << error.what() << '\n';
        return 1;
    }
}
