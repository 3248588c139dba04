/* The log: its lines, its limit of those that repeat, and what it does when nobody reads. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"

#define OUTPUT_MAX ((size_t)4 << 20)
#define THREADS 4

/* ---- lines that repeat ---- */

static void a_line_is_due_once_in_ten_seconds(void **state)
{
    (void)state;
    unsigned left_out = 99;
    assert_true(log_is_due("once", "", 1000, &left_out));
    assert_int_equal(left_out, 0);
    assert_false(log_is_due("once", "", 1000, &left_out));
    assert_false(log_is_due("once", "", 10999, &left_out));
    assert_true(log_is_due("once", "", 11000, &left_out));
    assert_int_equal(left_out, 2);
    assert_true(log_is_due("once", "", 21000, &left_out));
    assert_int_equal(left_out, 0);
}

static void kinds_in_turn_are_limited_each(void **state)
{
    (void)state;
    unsigned left_out, due = 0;
    for (int i = 0; i < 1000; i++) {
        due += log_is_due("in turn", "a", 100000 + i, &left_out);
        due += log_is_due("in turn", "b", 100000 + i, &left_out);
        due += log_is_due("in", "turn b", 100000 + i, &left_out);
    }
    assert_int_equal(due, 3);
    assert_true(log_is_due("in turn", "b", 110000, &left_out));
    assert_int_equal(left_out, 999);
}

/* Also from somebody who finds a way to make new kinds. */
static void any_number_of_kinds_is_limited(void **state)
{
    (void)state;
    unsigned left_out, due = 0;
    for (int i = 0; i < 10000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        due += log_is_due("many", key, 200000, &left_out);
    }
    assert_int_equal(due, 64);
    assert_true(log_is_due("many", "another", 210000, &left_out));
    assert_int_equal(left_out, 0);
}

/* ---- a child that logs ---- */

struct child {
    pid_t pid;
    int output; /* what it writes to stdout */
    int hints;  /* what it tells the test */
};

static int hints; /* the child's end */

static struct child child_start(void (*run)(void), int flags)
{
    int output[2], told[2];
    assert_int_equal(pipe2(output, flags), 0);
    assert_int_equal(pipe(told), 0);
    struct child child = {fork(), output[0], told[0]};
    if (child.pid == 0) {
        dup2(output[1], STDOUT_FILENO);
        close(output[0]);
        close(output[1]);
        close(told[0]);
        hints = told[1];
        run();
        exit(0);
    }
    close(output[1]);
    close(told[1]);
    if (flags & O_NONBLOCK)
        fcntl(output[0], F_SETFL, 0);
    return child;
}

/* All that the child writes until it ends, with a NUL; the caller frees it. */
static char *child_read(struct child *child)
{
    char *text = malloc(OUTPUT_MAX + 1);
    size_t size = 0;
    ssize_t got;
    while ((got = read(child->output, text + size, OUTPUT_MAX - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    return text;
}

static int child_wait(struct child *child)
{
    int status;
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->output);
    close(child->hints);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- what may be shown ---- */

static const char DANGEROUS[] =
    "\x1b[2J\n\x7f"
    "\xc2\x85\xc2\x9b\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\xa8"
    "\xe2\x80\xa9\xe2\x80\xaa\xe2\x80\xae\xe2\x81\xa6\xe2\x81\xa9\x9b\xff"
    "\xc2\xa0\xc3\xa4\xe2\x80\x8b\xe2\x82\xac\xf0\x9f\x98\x80";
#define HARMLESS "\xc2\xa0\xc3\xa4\xe2\x80\x8b\xe2\x82\xac\xf0\x9f\x98\x80"

static void log_dangerous_text(void)
{
    log_init("test", LOG_INFO, LOG_TEXT);
    log_info("line", {"field", DANGEROUS});
}

static void log_dangerous_json(void)
{
    log_init("test", LOG_INFO, LOG_JSON);
    log_info("line", {"field", DANGEROUS});
}

static void expect_line(void (*run)(void), const char *wanted)
{
    struct child child = child_start(run, 0);
    char *text = child_read(&child);
    assert_int_equal(child_wait(&child), 0);
    char *field = strstr(text, "field");
    assert_non_null(field);
    assert_string_equal(field, wanted);
    free(text);
}

static void what_commands_terminals_is_escaped(void **state)
{
    (void)state;
    expect_line(log_dangerous_text,
                "field=\\x1b[2J\\x0a\\x7f"
                "\\u0085\\u009b\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a\\u202e"
                "\\u2066\\u2069\\x9b\\xff" HARMLESS "\n");
    expect_line(log_dangerous_json,
                "field\":\"\\u001b[2J\\n\\u007f"
                "\\u0085\\u009b\\u061c\\u200e\\u200f\\u2028\\u2029\\u202a\\u202e"
                "\\u2066\\u2069\\ufffd\\ufffd" HARMLESS "\"}\n");
}

static char *long_text(const char *piece, size_t count)
{
    char *text = calloc(count, strlen(piece) + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * strlen(piece), piece, strlen(piece));
    return text;
}

/* A client chooses some texts of a line, and none of them costs the others. */
static void log_long_texts(void)
{
    char *controls = long_text("\x01", 100000);
    char *marks = long_text("\xe2\x80\xae", 100000);
    char *letters = long_text("\xe2\x82\xac", 100000);
    log_init("test", LOG_INFO, LOG_JSON);
    log_info("line", {"a", controls}, {"b", marks}, {"c", letters}, {"d", controls},
             {"e", controls}, {"f", controls}, {"last", "seen"});
    free(controls);
    free(marks);
    free(letters);
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    struct child child = child_start(log_long_texts, 0);
    char *text = child_read(&child);
    assert_int_equal(child_wait(&child), 0);
    struct json_value value;
    struct json_error error;
    assert_true(json_check(text, strlen(text), &value, &error));
    assert_non_null(strstr(text, ",\"last\":\"seen\"}\n"));
    assert_non_null(strstr(text, "\xe2\x82\xac...\""));
    assert_non_null(strstr(text, "\\u202e...\""));
    assert_true(strlen(text) <= 4096);
    free(text);
}

/* ---- a reader that does not read ---- */

static void start_logging(void)
{
    signals_block();
    log_init("test", LOG_INFO, LOG_JSON);
    if (!log_start())
        _exit(98);
}

static void *log_many(void *name)
{
    for (int i = 0; i < 1000; i++)
        log_info("many", {"thread", name}, {"number", NULL, i},
                 {"text", "some more, so that there is enough to fill the ring of 256 KiB"});
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    static char names[THREADS][2] = {"0", "1", "2", "3"};
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, names[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void log_to_nobody(void)
{
    start_logging();
    run_threads(log_many);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    log_fatal("nobody reads this either");
    if (log_dropped_lines() == 0)
        _exit(97);
}

static void nobody_waits_for_a_reader(void **state)
{
    (void)state;
    struct child child = child_start(log_to_nobody, 0);
    int status;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid); /* nothing was read */
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(child.output);
    close(child.hints);
}

static void log_and_wait_for_the_reader(void)
{
    char number[32];
    start_logging();
    run_threads(log_many);
    int size = snprintf(number, sizeof(number), "%llu", (unsigned long long)log_dropped_lines());
    (void)!write(hints, number, (size_t)size);
    close(hints);
    for (int i = 0; i < 60; i++)
        log_flush();
    log_info("the end");
}

/* Each line is whole JSON. Returns how many there are, with those that were told as dropped. */
static unsigned long count_lines(char *text, unsigned long *dropped)
{
    unsigned long count = 0;
    char *rest = text, *line;
    *dropped = 0;
    while ((line = strsep(&rest, "\n")) && rest) {
        struct json_value value;
        struct json_error error;
        assert_true(json_check(line, strlen(line), &value, &error));
        char *number = strstr(line, "\"lines\":");
        if (strstr(line, "log lines were dropped"))
            *dropped += strtoul(number + strlen("\"lines\":"), NULL, 10);
        else
            count++;
    }
    assert_string_equal(line, ""); /* the last one ends too */
    return count;
}

static void dropped_lines_are_told(void **state)
{
    (void)state;
    struct child child = child_start(log_and_wait_for_the_reader, 0);
    char number[32] = "";
    assert_true(read(child.hints, number, sizeof(number) - 1) > 0);
    char *text = child_read(&child);
    assert_int_equal(child_wait(&child), 0);
    unsigned long dropped;
    unsigned long count = count_lines(text, &dropped);
    assert_true(dropped > 0);
    assert_int_equal(dropped, strtoul(number, NULL, 10));
    assert_int_equal(count + dropped, THREADS * 1000 + 1);
    free(text);
}

/* ---- lines that are longer than what a pipe takes at once ---- */

#define LONG_LINES 5
#define LONG_LINE 9000 /* bytes */

static void *log_long_lines(void *name)
{
    char line[LONG_LINE + 1];
    memset(line, *(char *)name, LONG_LINE);
    line[LONG_LINE - 1] = '\n';
    for (int i = 0; i < LONG_LINES; i++)
        log_write_line(line, LONG_LINE);
    return NULL;
}

static void log_long_lines_from_threads(void)
{
    start_logging();
    run_threads(log_long_lines);
    for (int i = 0; i < 60; i++)
        log_flush();
}

static void log_long_lines_without_a_thread(void)
{
    log_init("test", LOG_INFO, LOG_JSON);
    run_threads(log_long_lines);
}

static void expect_whole_lines(void (*run)(void), int flags)
{
    struct child child = child_start(run, flags);
    char *text = child_read(&child);
    assert_int_equal(child_wait(&child), 0);
    char *rest = text, *line;
    int count = 0;
    while ((line = strsep(&rest, "\n")) && rest) {
        char all[] = {line[0], '\0'};
        assert_int_equal(strlen(line), LONG_LINE - 1);
        assert_int_equal(strspn(line, all), LONG_LINE - 1);
        count++;
    }
    assert_int_equal(count, THREADS * LONG_LINES);
    free(text);
}

static void lines_never_mix(void **state)
{
    (void)state;
    expect_whole_lines(log_long_lines_from_threads, 0);
    expect_whole_lines(log_long_lines_from_threads, O_NONBLOCK);
    expect_whole_lines(log_long_lines_without_a_thread, 0);
    expect_whole_lines(log_long_lines_without_a_thread, O_NONBLOCK);
}

/* ---- the end ---- */

/* A program that was asked to stop and never does. */
static void never_stop(void)
{
    start_logging();
    raise(SIGQUIT);
    if (signals_wait(1, 10))
        pause();
    _exit(99);
}

static void stopping_that_takes_too_long_is_ended(void **state)
{
    (void)state;
    struct child child = child_start(never_stop, 0);
    char *text = child_read(&child);
    assert_int_equal(child_wait(&child), 1);
    assert_non_null(strstr(text, "stopping took too long"));
    free(text);
}

static void never_stop_and_log(void)
{
    start_logging();
    run_threads(log_many);
    raise(SIGTERM);
    if (signals_wait(1, 10))
        pause();
    _exit(99);
}

static void it_is_ended_though_nobody_reads(void **state)
{
    (void)state;
    struct child child = child_start(never_stop_and_log, 0);
    assert_int_equal(child_wait(&child), 1);
}

static void log_to_a_closed_pipe(void)
{
    start_logging();
    run_threads(log_many);
}

static void a_reader_that_is_gone_is_no_fault(void **state)
{
    (void)state;
    struct child child = child_start(log_to_a_closed_pipe, 0);
    close(child.output);
    child.output = open("/dev/null", O_RDONLY);
    assert_int_equal(child_wait(&child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_due_once_in_ten_seconds),
        cmocka_unit_test(kinds_in_turn_are_limited_each),
        cmocka_unit_test(any_number_of_kinds_is_limited),
        cmocka_unit_test(what_commands_terminals_is_escaped),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(nobody_waits_for_a_reader),
        cmocka_unit_test(dropped_lines_are_told),
        cmocka_unit_test(lines_never_mix),
        cmocka_unit_test(stopping_that_takes_too_long_is_ended),
        cmocka_unit_test(it_is_ended_though_nobody_reads),
        cmocka_unit_test(a_reader_that_is_gone_is_no_fault),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
