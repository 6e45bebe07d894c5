/* A record of each request of open_loop.c: when it was due and answered, by which version and worker, with what content. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* `status` 0: the connection was closed, -1: no answer came. `header` and `body` are the versions named there, -1: not exactly one.
 * `worker` and `serial` are the parts of the prediction id; `content` is a hash of the probabilities. */
typedef struct {
    int64_t due, answered;
    int32_t status, header, body, unused;
    uint64_t worker, serial, content;
} Record;

static Record *records; /* NULL: none are kept */
static long record_count;

/* The number behind the only `key` in `text`; -1 unless there is exactly one. */
static int only_number(const char *text, const char *key) {
    char *at = strcasestr(text, key);
    return at && !strcasestr(at + 1, key) ? atoi(at + strlen(key)) : -1;
}

static uint64_t hash_until(const char *text, char end) {
    uint64_t hash = 14695981039346656037ULL;
    while (*text && *text != end) hash = (hash ^ (unsigned char)*text++) * 1099511628211ULL;
    return hash;
}

/* `answer` is a whole one, with its end; NULL: there is none. */
static void keep_record(int64_t due, int64_t now, int status, const char *answer) {
    if (!records) return;
    Record *made = &records[record_count++];
    *made = (Record){.due = due, .answered = now, .status = status, .header = -1, .body = -1};
    if (!answer || status != 200) return;
    made->header = only_number(answer, "\r\nx-model-version:");
    made->body = only_number(answer, "\"model_version\":");
    char *id = strstr(answer, "\"prediction_id\":\""), *shares = strstr(answer, "\"probabilities\":");
    if (id) {
        char *rest;
        made->worker = strtoull(id + strlen("\"prediction_id\":\""), &rest, 16);
        made->serial = *rest == '-' ? strtoull(rest + 1, NULL, 16) : 0;
    }
    if (shares) made->content = hash_until(shares, '}');
}

static void write_records(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(records, sizeof *records, record_count, file) != (size_t)record_count || fclose(file)) {
        perror("open_loop: the records");
        exit(1);
    }
}
