/* Noticing that files were replaced. */
#include "base/pem_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/pem-files-XXXXXX";
static char cert[64], key[64], next[64];

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof(cert), "%s/cert.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(next, sizeof(next), "%s/next.pem", folder);
    write_text(cert, "cert");
    write_text(key, "key");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(cert);
    unlink(key);
    unlink(next);
    return rmdir(folder);
}

static struct pem_files noted(void)
{
    struct pem_files files = {.paths = {cert, key}};
    pem_files_note(&files);
    return files;
}

static void files_that_stay_have_not_changed(void **state)
{
    (void)state;
    struct pem_files files = noted();
    assert_false(pem_files_have_changed(&files));
    assert_false(pem_files_have_changed(&files));
}

static void a_pair_is_told_of_once_and_when_both_are_there(void **state)
{
    (void)state;
    struct pem_files files = noted();
    write_text(next, "cert of the same size");
    assert_int_equal(rename(next, cert), 0);
    assert_false(pem_files_have_changed(&files)); /* the key may follow */
    write_text(next, "key");
    assert_int_equal(rename(next, key), 0);
    assert_false(pem_files_have_changed(&files));
    assert_true(pem_files_have_changed(&files));
    assert_false(pem_files_have_changed(&files));
}

static void a_file_that_goes_and_comes_is_told_of(void **state)
{
    (void)state;
    struct pem_files files = noted();
    assert_int_equal(rename(key, next), 0);
    assert_false(pem_files_have_changed(&files));
    assert_true(pem_files_have_changed(&files));
    assert_int_equal(rename(next, key), 0);
    assert_false(pem_files_have_changed(&files));
    assert_true(pem_files_have_changed(&files));
}

static void a_note_begins_anew(void **state)
{
    (void)state;
    struct pem_files files = noted();
    write_text(cert, "another");
    assert_false(pem_files_have_changed(&files));
    pem_files_note(&files);
    assert_false(pem_files_have_changed(&files));
}

static void files_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    struct status status = STATUS_INIT;
    write_text(cert, "text");
    char *text = pem_file_read(cert, &status);
    assert_string_equal(text, "text");
    pem_text_free(text);
    pem_text_free(NULL);
    assert_null(pem_file_read(folder, &status));
    assert_null(pem_file_read(next, &status));
    assert_int_equal(status.code, STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, next));
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), 2 << 20), 0);
    fclose(file);
    assert_null(pem_file_read(next, &status));
    assert_non_null(strstr(status.message, "too large"));
    unlink(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_stay_have_not_changed),
        cmocka_unit_test(a_pair_is_told_of_once_and_when_both_are_there),
        cmocka_unit_test(a_file_that_goes_and_comes_is_told_of),
        cmocka_unit_test(a_note_begins_anew),
        cmocka_unit_test(files_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
