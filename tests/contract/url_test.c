/* Every form of DATABASE_URL, and that no password ever shows. */
#include <stdlib.h>
#include <string.h>

#include "contract.h"
#include "store/drivers.h"

#define SECRET "hunter2"

static void accepted_forms_name_their_store(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *driver;
        const char *description;
    } forms[] = {
        {NULL, "sqlite", "triggers.db"},
        {"", "sqlite", "triggers.db"},
        {"sqlite:///events.db", "sqlite", "events.db"},
        {"sqlite+aiosqlite:///events.db", "sqlite", "events.db"},
        {"sqlite:///data/events.db", "sqlite", "data/events.db"},
        {"sqlite:////var/lib/events.db", "sqlite", "/var/lib/events.db"},
        {"sqlite:///my%20events.db", "sqlite", "my%20events.db"},
        {"postgresql://db.internal/events", "postgresql", "db.internal:5432/events"},
        {"postgres://u:" SECRET "@db:6000/events", "postgresql", "db:6000/events"},
        {"postgresql+asyncpg://u:" SECRET "@db/e", "postgresql", "db:5432/e"},
        {"postgresql+psycopg2://u:" SECRET "@db/e", "postgresql", "db:5432/e"},
        {"postgres+any://u@db/e", "postgresql", "db:5432/e"},
        {"postgresql://u:%40%2F%3A" SECRET "@db/e", "postgresql", "db:5432/e"},
        {"postgresql://u:" SECRET "@[::1]:6000/e", "postgresql", "::1:6000/e"},
        {"postgresql://u:" SECRET "@a,b:7,c:8/e?target_session_attrs=read-write", "postgresql",
         "a,b,c:,7,8/e"},
        {"postgresql:///e?host=/run/pg&port=7&user=u@x&password=" SECRET, "postgresql",
         "/run/pg:7/e"},
        {"postgresql://u:" SECRET "?x@db/e", "postgresql", "db:5432/e"},
        {"postgresql+asyncpg://u:" SECRET "@db/e?ssl=require", "postgresql", "db:5432/e"},
        {"postgresql+asyncpg://u@db/?timeout=3&database=e&prepared_statement_cache_size=0"
         "&command_timeout=60&statement_cache_size=0&async_fallback=true",
         "postgresql", "db:5432/e"},
        {"postgresql+pg8000://u@db/e?tcp_keepalive=true&application_name=x", "postgresql",
         "db:5432/e"},
        {"postgresql+psycopg2://u:" SECRET "@/e?host=a:7&host=b%3A8&host=c", "postgresql",
         "a,b,c:7,8,/e"},
        {"postgresql+psycopg2://u:" SECRET "@/e?host=a&host=b&port=7,8", "postgresql", "a,b:7,8/e"},
        {"postgresql://u@/e?host=/run/pg&port=7&host=a,b&port=8,9", "postgresql", "a,b:8,9/e"},
        {"postgresql+psycopg://u@/e?host=::1&port=7", "postgresql", "::1:7/e"},
        {"postgresql://u@/e?sslmode=verify-full&host=/run/pg", "postgresql", "/run/pg:5432/e"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct store *store = NULL;
        struct status status = STATUS_INIT;
        if (!store_open(forms[i].url, &store, &status))
            fail_msg("%s: %s", forms[i].url, status.message);
        assert_string_equal(store->driver->name, forms[i].driver);
        assert_string_equal(store->description, forms[i].description);
        store->driver->close(store);
    }
}

static void refused_forms_say_why_without_the_password(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *fault;
    } forms[] = {
        {"sqlite://", "names no file"},
        {"sqlite:///", "names no file"},
        {"sqlite:///:memory:", "names no file"},
        {"sqlite://host/file.db", "has a host"},
        {"sqlite:///file.db?mode=ro", "has a query string"},
        {"file.db", "is not a URL"},
        {"/var/lib/" SECRET, "is not a URL"},
        {"://" SECRET, "is not a URL"},
        {"sqlite:/file.db", "is not a URL"},
        {"mysql://u:" SECRET "@db/e", "has a scheme"},
        {"mongodb+srv://u:" SECRET "@db/e", "has a scheme"},
        {"postgresqlx://u:" SECRET "@db/e", "has a scheme"},
        {"POSTGRESQL://u:" SECRET "@db/e", "has a scheme"},
        {"postgresql://u:x@" SECRET "@db/e", "has an @ or /"},
        {"postgresql://u:x/" SECRET "@db/e", "has an @ or /"},
        {"postgresql://u:" SECRET "/x@db/e", "has an @ or /"},
        {"postgresql://u:x@y?" SECRET "@db/e", "has an @ or /"},
        {"postgresql://u:" SECRET "%zz@db/e", "cannot be read"},
        {"postgresql://u:" SECRET "%00@db/e", "cannot be read"},
        {"postgresql://u:" SECRET "?a=1/x@db/e", "has an @ or /"},
        {"postgresql://u:/" SECRET "?options=x@db", "has an @ or /"},
        {"postgresql://u:" SECRET "@[::1/e", "cannot be read"},
        {"postgresql://u:" SECRET "@[::1]x/e", "cannot be read"},
        {"postgresql://db/e?passwort=" SECRET, "has the parameter \"passwort\""},
        {"postgresql+pg8000://db/e?x=1&unix_sock=" SECRET, "has the parameter"},
        {"postgresql://db/e?pass%77ort=" SECRET, "has the parameter \"passwort\""},
        {"postgresql://db/e?" SECRET, "missing key/value separator"},
        {"postgresql://u:" SECRET, "has a host, port or database"},
        {"postgresql://db:" SECRET "/e", "has a host, port or database"},
        {"postgresql:///e?host=" SECRET "@db", "has a host, port or database"},
        {"postgresql://[:?password=" SECRET ":]/e", "has a host, port or database"},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct store *store = NULL;
        struct status status = STATUS_INIT;
        if (store_open(forms[i].url, &store, &status))
            fail_msg("%s was accepted as %s", forms[i].url, store->description);
        assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
        if (!strstr(status.message, forms[i].fault) || !strstr(status.message, "accepted: ") ||
            strstr(status.message, SECRET))
            fail_msg("%s: %s", forms[i].url, status.message);
    }
}

static void failing_to_connect_shows_no_password(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "postgresql://u:" SECRET "@127.0.0.1:1/e",
        "postgresql://u:" SECRET "@127.0.0.1:1,127.0.0.1:2/e",
        "postgresql://u:" SECRET "@db.invalid/e",
        "postgresql:///e?host=/nowhere&password=" SECRET,
        "postgresql://u:" SECRET "@127.0.0.1:99999/e",
        "postgresql://u:" SECRET "@127.0.0.1:1/e?sslmode=never",
        "postgresql://u:" SECRET "@127.0.0.1:1,2/e",
    };
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct store *store = store_at(urls[i]);
        struct store_session *session = NULL;
        struct status status = STATUS_INIT;
        assert_int_equal(store->driver->session_open(store, false, &session, &status),
                         STORE_UNAVAILABLE);
        assert_int_equal(status.code, STATUS_UNAVAILABLE);
        if (!status.message[0] || strstr(status.message, SECRET) || strchr(status.message, '\n'))
            fail_msg("%s: %s", urls[i], status.message);
        store->driver->close(store);
    }
}

static void a_path_is_only_in_a_url_of_sqlite(void **state)
{
    (void)state;
    static const char *const others[] = {"", "x", "://", "s://", "postgresql:///e", "sqlite://"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char *url = strdup(others[i]); /* nothing may be read behind its end */
        assert_null(store_sqlite_path(url));
        free(url);
    }
    char *path = store_sqlite_path("sqlite+aiosqlite:////data/old.db?timeout=3");
    assert_string_equal(path, "/data/old.db");
    free(path);
}

int run_url_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_forms_name_their_store),
        cmocka_unit_test(refused_forms_say_why_without_the_password),
        cmocka_unit_test(failing_to_connect_shows_no_password),
        cmocka_unit_test(a_path_is_only_in_a_url_of_sqlite),
    };
    return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
