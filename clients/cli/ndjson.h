/* Sending NDJSON: many events in batches, several of them in flight. */
#ifndef TRIGGERS_CLI_NDJSON_H
#define TRIGGERS_CLI_NDJSON_H

/* Sends the events of a file, or of stdin for "-". Returns the exit code. */
int ndjson_send(const char *path);

#endif
