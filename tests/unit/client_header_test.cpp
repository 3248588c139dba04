// The public header from C++: it compiles, and the library's functions are found.
#include "triggers.h"

#include <cstring>

int main()
{
    char event_id[TRIGGERS_ID_SIZE];
    triggers_make_event_id(event_id);
    triggers_client_options options = {};
    options.url = "gopher://127.0.0.1";
    triggers_client *client = nullptr;
    char error[256];
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_INVALID_ARGUMENT)
        return 1;
    return std::strncmp(event_id, "evt_", 4) != 0 || client != nullptr;
}
