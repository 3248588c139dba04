/* The table of settings. */
#include "import/settings.h"

enum config_result import_settings_load(struct import_settings *settings, int argc, char **argv)
{
    const struct config_setting table[] = {
        {"TRIGGERS_IMPORT_FROM", "import-from", NULL, "URL",
         "PostgreSQL or SQLite database of the service that triggers replaces, written as "
         "DATABASE_URL is. Required.",
         config_text, &settings->import_from, .secret = true},
        STORE_SETTING_DATABASE_URL(&settings->store),
        STORE_SETTING_MAX_PAYLOAD(&settings->store),
        STORE_SETTING_PAYLOADS(&settings->store),
        CONFIG_LOG_LEVEL(&settings->log_level),
        CONFIG_LOG_FORMAT(&settings->log_format),
        CONFIG_CORE_DUMPS(&settings->core_dumps),
        {0},
    };
    *settings = (struct import_settings){0};
    return config_load("triggers-import",
                       "triggers-import copies the events of the service that triggers replaces "
                       "into the store of\na triggersd, and ends. Run it again to copy the events "
                       "that came later.",
                       table, argc, argv);
}
