/* The promise of the log: whoever reads along sees every event once and in order, while several
 * sessions of several processes write, with clocks apart, stopped, cut off and killed in the
 * middle; and what a writer was told is there. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "contract.h"

extern char **environ;

enum {
    THREADS = 2,      /* writers of a process */
    WRITER_BITS = 20, /* of a number say which of the writer's it is */
    MOST_ITEMS = 50,
    DURATION_MS = 2500,
    PATIENCE_MS = 60000, /* of who waits for a writer or a lock */
    MOST_EVENTS = 1 << 20
};

/* What a writer was told, as it says it through the pipe. */
struct told {
    int64_t sequence;
    uint32_t number;
    uint32_t acknowledged; /* or stored */
};

/* ---- a writer, in this process or in another ---- */

struct writer {
    struct store *store;
    struct store_session *session;
    uint32_t base;    /* of its numbers */
    uint32_t next;    /* number, above the base */
    int64_t clock_us; /* where its clock is */
    int64_t until_ms;
    int pipe;
    unsigned seed;
    bool failed;
    char source[16];
};

/* On PostgreSQL some make their transaction stop for a while, in the middle or at its end. */
static struct slice payload_of(uint32_t number)
{
    return slice_of(number % 300 == 100 ? "slow" : number % 300 == 200 ? "late" : "{}");
}

static struct store_item own_event(struct writer *writer, uint32_t number)
{
    struct store_item item = event_numbered(writer->base + number);
    item.event.source = slice_of(writer->source);
    item.event.type = slice_of(number % 3 ? "plain" : "third");
    item.event.created_at_us = NOON + writer->clock_us + number;
    if (writer->base == 0)
        item.event.payload = payload_of(number);
    return item;
}

static uint32_t below(struct writer *writer, uint32_t bound)
{
    return (uint32_t)rand_r(&writer->seed) % bound;
}

/* Some new events, some that were written before, and acks of some of either. */
static size_t make_batch(struct writer *writer, struct store_item items[MOST_ITEMS])
{
    size_t count = 1 + below(writer, MOST_ITEMS - 10);
    for (size_t i = 0; i < count; i++)
        items[i] = own_event(writer, writer->next > 0 && below(writer, 8) == 0
                                         ? below(writer, writer->next)
                                         : writer->next++);
    for (uint32_t acks = below(writer, 10); acks > 0; acks--)
        items[count++] = ack_numbered(writer->base + below(writer, writer->next), NOON);
    return count;
}

/* Writes the batch until it is stored; false when that cannot be. */
static bool write_surely(struct writer *writer, struct store_write *batch)
{
    const struct store_driver *driver = writer->store->driver;
    struct status status = STATUS_INIT;
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (clock_monotonic_ms() < until_ms) {
        enum store_result result = STORE_LOST;
        if (!writer->session)
            (void)driver->session_open(writer->store, false, &writer->session, &status);
        if (writer->session)
            result = driver->write(writer->session, SCOPE_DEFAULT, batch, &status);
        if (result == STORE_OK)
            return true;
        if (result == STORE_REJECTED && writer->base > 0)
            break; /* the other's are when its session is ended in a function of the test's */
        if (result == STORE_LOST) {
            driver->session_close(writer->session);
            writer->session = NULL;
        }
    }
    fprintf(stderr, "writer %s: %s\n", writer->source, status.message);
    return false;
}

static bool tell(struct writer *writer, const struct store_item *items, size_t count)
{
    struct told told[MOST_ITEMS];
    for (size_t i = 0; i < count; i++) {
        const struct store_item *item = &items[i];
        if (item->outcome != STORE_DONE && item->outcome != STORE_REPEATED)
            return false;
        told[i] =
            (struct told){item->event.sequence, id_number(item->event.id), item->kind == STORE_ACK};
    }
    ssize_t size = (ssize_t)(count * sizeof(told[0])); /* at once, as it is less than PIPE_BUF */
    return write(writer->pipe, told, (size_t)size) == size;
}

static void *run_writer(void *context)
{
    struct writer *writer = context;
    while (!writer->failed && clock_monotonic_ms() < writer->until_ms) {
        struct store_item items[MOST_ITEMS];
        struct store_item *list[MOST_ITEMS];
        size_t count = make_batch(writer, items);
        for (size_t i = 0; i < count; i++)
            list[i] = &items[i];
        struct store_write batch = {list, count};
        writer->failed = !write_surely(writer, &batch) || !tell(writer, items, count);
    }
    writer->store->driver->session_close(writer->session);
    close(writer->pipe);
    return NULL;
}

static void writer_init(struct writer *writer, struct store *store, uint32_t number, int pipe)
{
    *writer = (struct writer){.store = store,
                              .base = number << WRITER_BITS,
                              .clock_us = ((int64_t)(number % 3) - 1) * 3600 * SECOND,
                              .until_ms = clock_monotonic_ms() + DURATION_MS,
                              .pipe = pipe,
                              .seed = number};
    snprintf(writer->source, sizeof(writer->source), "w%u", number);
}

/* contract_test follow URL NUMBER: the writers from NUMBER on, into standard output. */
int run_follow_writer(int count, char **arguments)
{
    struct status status = STATUS_INIT;
    struct store *store = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* goes with the test */
    if (count != 4 || !store_open(arguments[2], &store, &status))
        return EXIT_FAILURE;
    struct writer writers[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        writer_init(&writers[i], store, (uint32_t)atoi(arguments[3]) + i, dup(STDOUT_FILENO));
        if (pthread_create(&threads[i], NULL, run_writer, &writers[i]) != 0)
            return EXIT_FAILURE;
    }
    bool failed = false;
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        failed = failed || writers[i].failed;
    }
    store->driver->close(store);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- a follower ---- */

struct follower {
    struct world *world;
    struct store_filter filter;
    atomic_bool *quiet; /* nobody writes any more */
    int64_t read_to;
    uint32_t *numbers; /* by sequence, up to read_to; UINT32_MAX where the filter lets none pass */
    int64_t last;      /* sequence that was seen */
    const char *fault;
    struct status status;
};

static void take_page(struct follower *follower, const struct store_list *page)
{
    for (size_t i = 0; i < page->count; i++) {
        int64_t sequence = page->events[i].sequence;
        if (sequence <= follower->last || sequence >= MOST_EVENTS)
            follower->fault = "a sequence came twice or out of order";
        else if (follower->filter.source_count == 0 && sequence != follower->last + 1)
            follower->fault = "a sequence is missing";
        if (follower->fault)
            return;
        follower->numbers[sequence] = id_number(page->events[i].id);
        follower->last = sequence;
    }
    if (page->read_to < follower->last)
        follower->fault = "more was read than is said";
}

/* One page; true while there may be more. */
static bool read_on(struct follower *follower, struct store_session **session, struct arena *arena)
{
    const struct store_driver *driver = follower->world->store->driver;
    bool last = atomic_load(follower->quiet);
    enum store_result result = STORE_LOST;
    struct store_list page = {.set = STORE_LOG,
                              .oldest_first = true,
                              .after = follower->read_to,
                              .filter = follower->filter,
                              .limit = 300,
                              .max_bytes = SIZE_MAX,
                              .arena = arena};
    arena_reset(arena);
    if (*session)
        result = driver->list(*session, SCOPE_DEFAULT, &(struct store_list *){&page}, 1,
                              &follower->status);
    if (result == STORE_LOST) {
        driver->session_close(*session);
        *session = NULL;
        (void)driver->session_open(follower->world->store, true, session, &follower->status);
    }
    if (result != STORE_OK)
        return true;
    take_page(follower, &page);
    last = last && page.read_to == follower->read_to;
    follower->read_to = page.read_to;
    return !last;
}

static void *follow(void *context)
{
    struct follower *follower = context;
    struct store_session *session = NULL;
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    int64_t until_ms = clock_monotonic_ms() + 2 * PATIENCE_MS;
    while (!follower->fault && read_on(follower, &session, &arena))
        if (clock_monotonic_ms() > until_ms)
            follower->fault = follower->status.message;
    follower->world->store->driver->session_close(session);
    arena_fini(&arena);
    return NULL;
}

static void follower_start(struct follower *follower, pthread_t *thread)
{
    follower->numbers = malloc(MOST_EVENTS * sizeof(follower->numbers[0]));
    assert_non_null(follower->numbers);
    memset(follower->numbers, 0xFF, MOST_EVENTS * sizeof(follower->numbers[0]));
    assert_int_equal(pthread_create(thread, NULL, follow, follower), 0);
}

/* ---- the play ---- */

struct play {
    struct world *world;
    int pipe[2];
    bool ended; /* every writer has closed the pipe */
    int64_t started_ms;
    struct told *told;
    size_t count, size;
};

static void take_told(struct play *play)
{
    struct told told[256];
    ssize_t got = read(play->pipe[0], told, sizeof(told));
    assert_true(got >= 0 && got % (ssize_t)sizeof(told[0]) == 0);
    play->ended = got == 0;
    size_t count = (size_t)got / sizeof(told[0]);
    while (play->count + count > play->size) {
        play->size = play->size ? 2 * play->size : 4096;
        play->told = realloc(play->told, play->size * sizeof(told[0]));
        assert_non_null(play->told);
    }
    memcpy(play->told + play->count, told, (size_t)got);
    play->count += count;
}

/* Listens to the writers until so many milliseconds after the start, or until all have ended. */
static void listen_until(struct play *play, int64_t ms)
{
    int64_t left;
    while (!play->ended && (left = play->started_ms + ms - clock_monotonic_ms()) > 0) {
        struct pollfd ready = {.fd = play->pipe[0], .events = POLLIN};
        if (poll(&ready, 1, (int)left) > 0)
            take_told(play);
    }
}

/* Another process with the writers from `number` on. */
static pid_t start_writers(struct play *play, unsigned number)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", number);
    char *arguments[] = {(char *)"contract_test", (char *)"follow", play->world->url, text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, play->pipe[1], STDOUT_FILENO);
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void slow_some_down(struct world *world)
{
    database_execute(world->url,
                     "create function triggers.slow() returns trigger language plpgsql as"
                     " $$ begin perform pg_sleep(0.5); return new; end $$;"
                     "create trigger slow after insert on triggers.events for each row"
                     " when (new.payload = 'slow') execute function triggers.slow();"
                     "create constraint trigger late after insert on triggers.events"
                     " deferrable initially deferred for each row"
                     " when (new.payload = 'late') execute function triggers.slow()");
}

/* What happens while two threads here and two processes write: one is stopped and goes on, the
 * other is killed and another takes its place; on PostgreSQL all connections are cut twice. */
static void play_on(struct play *play)
{
    bool cuts = database_is_postgres();
    pid_t stopped = start_writers(play, 2), killed = start_writers(play, 4);
    listen_until(play, 500);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    listen_until(play, 800);
    if (cuts)
        database_end_sessions(play->world->url);
    listen_until(play, 1200);
    assert_int_equal(kill(killed, SIGKILL), 0);
    assert_true(WIFSIGNALED(wait_for(killed)));
    pid_t other = start_writers(play, 6);
    listen_until(play, 1900);
    assert_int_equal(kill(stopped, SIGCONT), 0);
    if (cuts)
        database_end_sessions(play->world->url);
    close(play->pipe[1]); /* what this process writes has its own */
    listen_until(play, 2 * PATIENCE_MS);
    assert_true(play->ended);
    assert_int_equal(wait_for(stopped), 0);
    assert_int_equal(wait_for(other), 0);
}

/* What writers were told is in the log, and no event is there twice. */
static void check_told(const struct play *play, const struct follower *all)
{
    bool *acknowledged = calloc((size_t)all->last + 1, 1);
    assert_non_null(acknowledged);
    for (size_t i = 0; i < play->count; i++) {
        const struct told *told = &play->told[i];
        assert_in_range(told->sequence, 1, all->last);
        assert_int_equal(all->numbers[told->sequence], told->number);
        acknowledged[told->sequence] |= told->acknowledged != 0;
    }
    struct store_list list = {.set = STORE_LOG, .oldest_first = true, .limit = 1000};
    for (bool more = true; more;) {
        arena_reset(&play->world->arena);
        struct store_list page = list_page(play->world, list);
        for (size_t i = 0; i < page.count; i++) {
            const struct store_event *event = &page.events[i];
            assert_int_equal(event->sequence, ++list.after);
            assert_int_equal(id_number(event->id), all->numbers[event->sequence]);
            assert_true(event->acknowledged_at_us != 0 || !acknowledged[event->sequence]);
        }
        more = page.more;
    }
    assert_int_equal(list.after, all->last);
    free(acknowledged);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* `some` saw those of the writers that its filter lets pass, and nothing else; sorts them. */
static void check_seen(struct follower *all, const struct follower *some)
{
    assert_true(some->last <= all->last);
    for (int64_t i = 1; i <= all->last; i++) {
        bool passes = all->numbers[i] >> WRITER_BITS == 0;
        assert_int_equal(some->numbers[i], passes ? all->numbers[i] : UINT32_MAX);
    }
    qsort(all->numbers + 1, (size_t)all->last, sizeof(all->numbers[0]), compare);
    for (int64_t i = 2; i <= all->last; i++)
        assert_true(all->numbers[i] != all->numbers[i - 1]);
}

static void nobody_who_reads_along_misses_an_event(void **state)
{
    struct world *world = *state;
    struct play play = {.world = world, .started_ms = clock_monotonic_ms()};
    assert_int_equal(pipe2(play.pipe, O_CLOEXEC), 0);
    if (database_is_postgres())
        slow_some_down(world);

    atomic_bool quiet = false;
    struct slice first = slice_of("w0");
    struct follower followers[2] = {
        {.world = world, .quiet = &quiet},
        {.world = world, .quiet = &quiet, .filter = {.sources = &first, .source_count = 1}}};
    struct writer writers[THREADS];
    pthread_t follows[2], writes[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        writer_init(&writers[i], world->store, i, fcntl(play.pipe[1], F_DUPFD_CLOEXEC, 0));
        assert_int_equal(pthread_create(&writes[i], NULL, run_writer, &writers[i]), 0);
    }
    for (size_t i = 0; i < 2; i++)
        follower_start(&followers[i], &follows[i]);
    play_on(&play);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(writes[i], NULL);
    atomic_store(&quiet, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(follows[i], NULL);

    for (size_t i = 0; i < THREADS; i++)
        assert_false(writers[i].failed);
    for (size_t i = 0; i < 2; i++)
        if (followers[i].fault)
            fail_msg("follower %zu at %lld: %s", i, (long long)followers[i].last,
                     followers[i].fault);
    printf("%lld events, %zu told\n", (long long)followers[0].last, play.count);
    assert_true(followers[0].last > 0);
    if (database_is_postgres())
        reopen(world);
    check_told(&play, &followers[0]);
    check_seen(&followers[0], &followers[1]);
    for (size_t i = 0; i < 2; i++)
        free(followers[i].numbers);
    free(play.told);
    close(play.pipe[0]);
}

int run_follow_tests(void)
{
    const struct CMUnitTest tests[] = {WORLD_TEST(nobody_who_reads_along_misses_an_event)};
    return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
