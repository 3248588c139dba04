/* triggers-import: one run of the import. The first signal ends it: what was imported stays, and
 * the next run imports the rest. */
#include <stdlib.h>

#include "base/process.h"
#include "import/import.h"

int main(int argc, char **argv)
{
    static struct import_settings settings;
    struct status status = STATUS_INIT;
    switch (import_settings_load(&settings, argc, argv)) {
    case CONFIG_LOADED: break;
    case CONFIG_ANSWERED: return EXIT_SUCCESS;
    case CONFIG_WRONG: return EXIT_MISCONFIGURED;
    }
    log_init("triggers-import", settings.log_level, settings.log_format);
    if (!settings.core_dumps)
        process_hide_memory();
    if (import_run(&settings, &status))
        return EXIT_SUCCESS;
    log_fatal(status.message);
    return status.code == STATUS_INVALID_ARGUMENT ? EXIT_MISCONFIGURED : EXIT_FAILURE;
}
