/* PostgreSQL's binary format: big-endian numbers, times in microseconds since 2000-01-01. */
#include <endian.h>
#include <string.h>

#include "store/postgres/session.h"

#include "base/check.h"

#define EPOCH_OFFSET_US INT64_C(946684800000000) /* from 1970 to 2000 */
#define MIN_TIME_US INT64_C(-211813488000000000) /* 4714-11-24 BC, in PostgreSQL's epoch */

void postgres_put_int32(struct buffer *value, int32_t number)
{
    uint32_t big_endian = htobe32((uint32_t)number);
    buffer_append(value, &big_endian, sizeof(big_endian));
}

static void put_int32(struct buffer *bytes, size_t number)
{
    CHECK(number <= INT32_MAX);
    postgres_put_int32(bytes, (int32_t)number);
}

void postgres_put_int64(struct buffer *value, int64_t number)
{
    uint64_t big_endian = htobe64((uint64_t)number);
    buffer_append(value, &big_endian, sizeof(big_endian));
}

/* Minus infinity for times before those that PostgreSQL can hold; its last time is after ours. */
static int64_t from_unix_us(int64_t time_us)
{
    int64_t time;
    if (__builtin_sub_overflow(time_us, EPOCH_OFFSET_US, &time) || time < MIN_TIME_US)
        return INT64_MIN;
    return time;
}

void postgres_put_time(struct buffer *value, int64_t time_us)
{
    postgres_put_int64(value, time_us == INT64_MAX ? INT64_MAX : from_unix_us(time_us));
}

void postgres_array_start(struct buffer *array, Oid element, size_t count)
{
    put_int32(array, 1); /* dimensions */
    put_int32(array, 0); /* whether it has nulls; the server looks itself */
    put_int32(array, element);
    put_int32(array, count);
    put_int32(array, 1); /* the first index */
}

void postgres_array_add(struct buffer *array, const void *bytes, size_t size)
{
    put_int32(array, size);
    buffer_append(array, bytes, size);
}

void postgres_array_add_null(struct buffer *array)
{
    postgres_put_int32(array, -1);
}

void postgres_array_add_int32(struct buffer *array, int32_t number)
{
    put_int32(array, sizeof(number));
    postgres_put_int32(array, number);
}

void postgres_array_add_int64(struct buffer *array, int64_t number)
{
    put_int32(array, sizeof(number));
    postgres_put_int64(array, number);
}

void postgres_array_add_time(struct buffer *array, int64_t time_us)
{
    int64_t time = from_unix_us(time_us);
    put_int32(array, sizeof(time));
    postgres_put_int64(array,
                       time == INT64_MIN ? time + 1 : time); /* a value that the server refuses */
}

int32_t postgres_int32(const PGresult *rows, int row, int column)
{
    uint32_t big_endian;
    CHECK(PQgetlength(rows, row, column) == sizeof(big_endian));
    memcpy(&big_endian, PQgetvalue(rows, row, column), sizeof(big_endian));
    return (int32_t)be32toh(big_endian);
}

int64_t postgres_int64(const PGresult *rows, int row, int column)
{
    uint64_t big_endian;
    CHECK(PQgetlength(rows, row, column) == sizeof(big_endian));
    memcpy(&big_endian, PQgetvalue(rows, row, column), sizeof(big_endian));
    return (int64_t)be64toh(big_endian);
}

int64_t postgres_time_us(const PGresult *rows, int row, int column)
{
    if (PQgetisnull(rows, row, column))
        return 0;
    int64_t time = postgres_int64(rows, row, column);
    return time > INT64_MAX - EPOCH_OFFSET_US ? INT64_MAX : time + EPOCH_OFFSET_US;
}

struct slice postgres_slice(const PGresult *rows, int row, int column)
{
    return (struct slice){PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column)};
}

const uint8_t *postgres_id(const PGresult *rows, int row, int column)
{
    CHECK(PQgetlength(rows, row, column) == TYPEID_BYTES);
    return (const uint8_t *)PQgetvalue(rows, row, column);
}
