/* Moves the events of the service that this one replaces into the store. */
#ifndef TRIGGERS_IMPORT_IMPORT_H
#define TRIGGERS_IMPORT_IMPORT_H

#include "base/status.h"
#include "import/settings.h"

/* Copies the table `events` of settings->import_from, with its ids, times and acknowledgements,
 * into the store of settings->store.database_url, which may be in use meanwhile. Events that are
 * there already stay as they are, so an import may be run again after an interruption, or to copy
 * what came later. Rows that cannot be stored are logged with the reason and left out. False, with
 * `status` filled, when there were such rows or the import could not go on. */
bool import_run(const struct import_settings *settings, struct status *status) MUST_CHECK;

#endif
