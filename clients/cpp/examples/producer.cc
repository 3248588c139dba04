// Creates three events and prints their ids.
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
        for (int i = 0; i < 3; i++) {
            // The library makes the event's id, so its retries are stored once.
            auto created =
                client.create({"shop", "order.placed", "{\"order\":" + std::to_string(i) + "}"});
            std::cout << created.event_id << '\n';
        }
    } catch (const triggers::Error &error) {
        std::cerr << "not stored: " << error.code_name() << ' ' << error.what() << '\n';
        return 1;
    }
}
