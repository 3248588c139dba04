// Takes every pending event, oldest first, and acknowledges it.
#include <cstdlib>
#include <iostream>
#include <triggers.hpp>

int main()
{
    const char *core = std::getenv("TRIGGERS_CORE"); // none: this machine's
    const char *key = std::getenv("TRIGGERS_API_KEY");
    try {
        triggers::Options options;
        options.urls = core ? core : "";
        options.api_key = key ? key : "";
        triggers::Client client(options);
        triggers::ListRequest oldest_first;
        oldest_first.order = triggers::Order::oldest_first;
        for (const triggers::Event &event : client.inbox(oldest_first)) {
            std::cout << event.event_id << ' ' << event.event_type << ' ' << event.payload << '\n';
            client.ack(event.event_id); // when the work is done: it leaves the inbox
        }
    } catch (const triggers::Error &error) {
        std::cerr << error.code_name() << ' ' << error.what() << '\n';
        return 1;
    }
}
