/* Workers that claim events of a queue and then remove them: two statements of a table in
 * PostgreSQL, or XREADGROUP and XACK of Redis. A thread and a connection each. Prints one line of
 * JSON. */
#include <hiredis/hiredis.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_WORKERS 256
#define IDS_SIZE 32768

static const char *server; /* what libpq connects to, or the port of Redis */
static const char *claim;  /* SQL: $1 events at most, with their ids first; or "redis" */
static const char *settle; /* SQL: $1 is the array of ids */
static int batch;
static int seconds;
static pthread_barrier_t connected;
static struct timespec end;
static atomic_long settled;

static void die(const char *what)
{
    fprintf(stderr, "claim: %s\n", what);
    exit(2);
}

static double seconds_until(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(then->tv_sec - now.tv_sec) + (double)(then->tv_nsec - now.tv_nsec) / 1e9;
}

/* The time begins when all are connected. */
static void begin(void)
{
    if (pthread_barrier_wait(&connected) == PTHREAD_BARRIER_SERIAL_THREAD) {
        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += seconds;
    }
    pthread_barrier_wait(&connected);
}

static void count(long events)
{
    if (seconds_until(&end) >= 0)
        atomic_fetch_add(&settled, events);
}

/* ---- PostgreSQL ---- */

static PGresult *run(PGconn *connection, const char *statement, const char *value)
{
    PGresult *result = PQexecPrepared(connection, statement, 1, &value, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
        die(PQerrorMessage(connection));
    return result;
}

static void prepare(PGconn *connection, const char *name, const char *sql)
{
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die(PQerrorMessage(connection));
    PQclear(result);
}

static void *work_postgres(void *argument)
{
    (void)argument;
    PGconn *connection = PQconnectdb(server);
    char most[16];
    if (PQstatus(connection) != CONNECTION_OK)
        die(PQerrorMessage(connection));
    prepare(connection, "claim", claim);
    prepare(connection, "settle", settle);
    snprintf(most, sizeof(most), "%d", batch);
    begin();
    while (seconds_until(&end) > 0) {
        char ids[IDS_SIZE] = "{";
        size_t size = 1;
        PGresult *claimed = run(connection, "claim", most);
        int rows = PQntuples(claimed);
        for (int row = 0; row < rows; row++)
            size += (size_t)snprintf(ids + size, sizeof(ids) - size, "%s%s", row ? "," : "",
                                     PQgetvalue(claimed, row, 0));
        PQclear(claimed);
        if (rows == 0)
            continue;
        snprintf(ids + size, sizeof(ids) - size, "}");
        PQclear(run(connection, "settle", ids));
        count(rows);
    }
    PQfinish(connection);
    return NULL;
}

/* ---- Redis ---- */

static redisReply *must(redisContext *redis, void *reply)
{
    if (!reply || ((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        die(reply ? ((redisReply *)reply)->str : redis->errstr);
    return reply;
}

static void *work_redis(void *argument)
{
    redisContext *redis = redisConnect("127.0.0.1", atoi(server));
    char name[16];
    snprintf(name, sizeof(name), "%ld", (long)(size_t)argument);
    if (!redis || redis->err)
        die("no connection to Redis");
    begin();
    while (seconds_until(&end) > 0) {
        const char *words[3 + 1024] = {"XACK", "events", "bench"};
        redisReply *reply =
            must(redis, redisCommand(redis, "XREADGROUP GROUP bench %s COUNT %d STREAMS events >",
                                     name, batch));
        if (reply->type == REDIS_REPLY_ARRAY) {
            redisReply *events = reply->element[0]->element[1];
            for (size_t i = 0; i < events->elements; i++)
                words[3 + i] = events->element[i]->element[0]->str;
            freeReplyObject(
                must(redis, redisCommandArgv(redis, (int)(3 + events->elements), words, NULL)));
            count((long)events->elements);
        }
        freeReplyObject(reply);
    }
    redisFree(redis);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[MAX_WORKERS];
    if (argc != 7)
        die("usage: claim SERVER CLAIM SETTLE BATCH WORKERS SECONDS");
    server = argv[1];
    claim = argv[2];
    settle = argv[3];
    batch = atoi(argv[4]);
    int workers = atoi(argv[5]);
    if (batch < 1 || batch > 1000 || workers < 1 || workers > MAX_WORKERS)
        die("a batch of 1 to 1000, 1 to 256 workers");
    seconds = atoi(argv[6]);
    pthread_barrier_init(&connected, NULL, (unsigned)workers);
    for (int i = 0; i < workers; i++)
        if (pthread_create(&threads[i], NULL,
                           strcmp(claim, "redis") == 0 ? work_redis : work_postgres,
                           (void *)(size_t)i) != 0)
            die("no thread");
    for (int i = 0; i < workers; i++)
        pthread_join(threads[i], NULL);
    printf("{\"per_second\": %.1f}\n", (double)settled / seconds);
}
