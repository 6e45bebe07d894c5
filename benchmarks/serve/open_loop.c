/* An open-loop load: one request at a constant rate, whether the answers come or not, and the machine's own pauses meanwhile.
 *
 *   open_loop PORT RATE SECONDS [RECORDS] < request > figures.json
 *
 * SIGTERM ends it sooner. The file RECORDS gets a record of each request (`answer_records.h`).
 *
 * Latency counts from the moment a request was due, so a stall is charged to all that it delays. A request for which no
 * connection is free waits for one. `net` is the latency without the machine's pauses: see `without_pauses`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "answer_records.h"

enum { MOST_CONNECTIONS = 512, BUFFER = 65536, MOST_CORES = 64, MOST_PAUSES = 100000, BINS = 400 };

static const int64_t STEP_NS = 250000;   /* how often a core is looked at */
static const int64_t PAUSE_NS = 300000;  /* what counts as a pause: twenty times what a core that runs takes to wake a thread */
static const int64_t PATIENCE_NS = 10000000000; /* how long answers are awaited after the last request */

typedef struct { int fd; int busy; int64_t due; size_t length; char buffer[BUFFER]; } Connection;
typedef struct { int64_t from, to; } Span;
typedef struct { int core; long count; Span *spans; } Meter;

static Connection connections[MOST_CONNECTIONS];
static int opened, idle[MOST_CONNECTIONS], idle_count, port;
static Span *answered;                      /* due and answered, of each request with status 200 */
static long answered_count, failed;
static char request[BUFFER];
static size_t request_length;
static Meter meters[MOST_CORES];
static atomic_int ending, stopped, realtime = 1;

static int64_t now_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static struct timespec timespec_of(int64_t ns) { return (struct timespec){ns / 1000000000, ns % 1000000000}; }

static void fail(const char *what) {
    fprintf(stderr, "open_loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Sleeps on one core in short steps; waking late means that the machine did not run the core. */
static void *watch_core(void *given) {
    Meter *meter = given;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(meter->core, &cores);
    pthread_setaffinity_np(pthread_self(), sizeof cores, &cores);
    /* Before every other program, so that only what is outside this machine's programs delays it. */
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &(struct sched_param){.sched_priority = 50})) realtime = 0;
    while (!ending) {
        int64_t due = now_ns() + STEP_NS;
        struct timespec at = timespec_of(due);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        int64_t woke = now_ns();
        if (woke - due >= PAUSE_NS && meter->count < MOST_PAUSES) meter->spans[meter->count++] = (Span){due, woke};
    }
    return NULL;
}

static int by_start(const void *a, const void *b) {
    int64_t x = ((const Span *)a)->from, y = ((const Span *)b)->from;
    return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The pauses of all cores, each with as much time again behind it, sorted and joined where they overlap. */
static long joined_pauses(int cores, Span **joined, int64_t *longest) {
    long count = 0, kept = 0;
    for (int core = 0; core < cores; core++) count += meters[core].count;
    Span *spans = calloc(count + 1, sizeof *spans);
    for (int core = 0, at = 0; core < cores; core++)
        for (long number = 0; number < meters[core].count; number++) {
            Span pause = meters[core].spans[number];
            if (pause.to - pause.from > *longest) *longest = pause.to - pause.from;
            spans[at++] = (Span){pause.from, pause.to + (pause.to - pause.from)};
        }
    qsort(spans, count, sizeof *spans, by_start);
    for (long at = 0; at < count; at++) {
        if (kept && spans[at].from <= spans[kept - 1].to) {
            if (spans[at].to > spans[kept - 1].to) spans[kept - 1].to = spans[at].to;
        } else spans[kept++] = spans[at];
    }
    *joined = spans;
    return kept;
}

/* A request's latency less the time that it shares with a pause, or with as much time again after one: at half of the
 * most, what a pause has held up takes as long as the pause to be worked off. Both arrays are sorted by their start. */
static int64_t without_pauses(Span taken, const Span *pauses, long count, long *first) {
    int64_t left = taken.to - taken.from;
    while (*first < count && pauses[*first].to <= taken.from) ++*first;
    for (long at = *first; at < count && pauses[at].from < taken.to; at++) {
        int64_t from = pauses[at].from > taken.from ? pauses[at].from : taken.from;
        int64_t to = pauses[at].to < taken.to ? pauses[at].to : taken.to;
        left -= to - from;
    }
    return left;
}

static void stop(int number) { stopped = number; }

/* Opens a connection in a place, again if the server has closed the one before. */
static void open_connection(int poll, int number) {
    Connection *made = &connections[number];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    made->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (made->fd < 0 || connect(made->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(made->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    fcntl(made->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = number};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, made->fd, &event)) fail("epoll_ctl");
}

/* The number of a connection that is free; -1 if there is none. */
static int free_connection(int poll) {
    if (!idle_count && opened == MOST_CONNECTIONS) return -1;
    int number = idle_count ? idle[--idle_count] : opened++;
    if (connections[number].fd <= 0) open_connection(poll, number);
    return number;
}

static void lose(Connection *on) {
    failed += on->busy;
    if (on->busy) keep_record(on->due, now_ns(), 0, NULL);
    close(on->fd);
    if (on->busy) idle[idle_count++] = on - connections;
    on->busy = 0, on->fd = -1;
}

/* A request fits into an empty socket buffer, so anything but a whole write is a failure. */
static void send_request(Connection *on, int64_t due) {
    on->due = due, on->busy = 1, on->length = 0;
    if (send(on->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) lose(on);
}

/* Whether the whole answer is there: head, and as many bytes as its Content-Length says. */
static int is_complete(Connection *on) {
    on->buffer[on->length] = 0;
    char *end = strstr(on->buffer, "\r\n\r\n"), *length = strcasestr(on->buffer, "\r\ncontent-length:");
    return end && length && length < end && on->length >= (size_t)(end + 4 - on->buffer) + strtoul(length + 17, NULL, 10);
}

static void receive(int number) {
    Connection *on = &connections[number];
    if (on->fd < 0) return;
    ssize_t got = recv(on->fd, on->buffer + on->length, BUFFER - 1 - on->length, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(on);
    on->length += got;
    if (!on->busy || !is_complete(on)) return;
    int status = atoi(on->buffer + 9);
    int64_t now = now_ns();
    if (status != 200) failed++;
    else answered[answered_count++] = (Span){on->due, now};
    keep_record(on->due, now, status, on->buffer);
    on->busy = 0;
    idle[idle_count++] = number;
}

static long waiting(void) {
    long count = 0;
    for (int number = 0; number < opened; number++) count += connections[number].busy;
    return count;
}

/* Returns how many requests were sent; `late` are the nanoseconds by which each left later than it was due. */
static long run(double rate, double seconds, int64_t *late) {
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    long total = rate * seconds, sent = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MOST_CONNECTIONS}, events[64];
    if (poll < 0 || timer < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event)) fail("epoll");
    for (; opened < 32; opened++) open_connection(poll, idle[idle_count++] = opened);
    int64_t started = now_ns(), due = started, end = started + seconds * 1e9 + PATIENCE_NS;
    while (now_ns() < end && (sent < total || waiting())) {
        if (stopped && sent < total) total = sent, end = now_ns() + PATIENCE_NS;
        for (due = started + sent * 1e9 / rate; sent < total && due <= now_ns(); due = started + sent * 1e9 / rate) {
            int number = free_connection(poll);
            if (number < 0) break;
            late[sent++] = now_ns() - due;
            send_request(&connections[number], due);
        }
        /* With all connections busy, `due` may be past: such a timer would spin, and take the core from the server. */
        int may_send = sent < total && (idle_count || opened < MOST_CONNECTIONS);
        struct itimerspec next = {.it_value = timespec_of(may_send ? due : now_ns() + 1000000)};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &next, NULL);
        int ready = epoll_wait(poll, events, 64, 1000);
        for (int at = 0; at < ready; at++)
            if (events[at].data.u32 < MOST_CONNECTIONS) receive(events[at].data.u32);
            else if (read(timer, &(uint64_t){0}, 8) < 0 && errno != EAGAIN) fail("timer");
    }
    failed += waiting() + total - sent;
    for (int number = 0; number < opened; number++)
        if (connections[number].busy) keep_record(connections[number].due, 0, -1, NULL);
    return sent;
}

static void print_percentiles(const char *name, int64_t *values, long count) {
    qsort(values, count, sizeof *values, by_value);
    const double shares[] = {0.5, 0.99, 0.999, 1.0};
    const char *names[] = {"p50", "p99", "p999", "most"};
    printf("\"%s\": {", name);
    for (int at = 0; at < 4; at++) {
        long place = shares[at] * count;
        if (place >= count) place = count - 1;
        printf("%s\"%s\": %.4f", at ? ", " : "", names[at], count ? values[place] / 1e6 : 0.0);
    }
    printf("}, ");
}

/* Each bin is a tenth wider than the one before; `values` are sorted. */
static void print_histogram(const int64_t *values, long count) {
    double limit = 10000;
    long at = 0;
    int first = 1;
    printf("\"histogram\": [");
    for (int bin = 0; bin < BINS && at < count; bin++, limit *= 1.1) {
        long from = at;
        while (at < count && values[at] <= limit) at++;
        if (at > from) printf("%s[%.4f, %ld]", first ? "" : ", ", limit / 1e6, at - from), first = 0;
    }
    printf("]");
}

static void report(long sent, double seconds, int cores, int64_t *late) {
    Span *pauses;
    int64_t longest = 0, paused = 0, *raw = calloc(answered_count + 1, sizeof *raw), *net = calloc(answered_count + 1, sizeof *net);
    long count = joined_pauses(cores, &pauses, &longest), first = 0;
    for (long at = 0; at < count; at++) paused += pauses[at].to - pauses[at].from;
    qsort(answered, answered_count, sizeof *answered, by_start);
    for (long at = 0; at < answered_count; at++) {
        raw[at] = answered[at].to - answered[at].from;
        net[at] = without_pauses(answered[at], pauses, count, &first);
    }
    printf("{\"seconds\": %.3f, ", seconds);
    printf("\"sent\": %ld, \"answered\": %ld, \"failed\": %ld, ", sent, answered_count, failed);
    printf("\"realtime\": %s, \"pauses\": {\"count\": %ld, \"longest\": %.4f, \"share\": %.5f}, ",
           realtime ? "true" : "false", count, longest / 1e6, paused / (seconds * 1e9));
    print_percentiles("late", late, sent);
    print_percentiles("raw", raw, answered_count);
    print_percentiles("net", net, answered_count);
    print_histogram(raw, answered_count);
    printf("}\n");
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: open_loop PORT RATE SECONDS [RECORDS] < request\n");
        return 2;
    }
    double rate = atof(argv[2]), seconds = atof(argv[3]);
    long most = rate * seconds + 1;
    int cores = sysconf(_SC_NPROCESSORS_ONLN);
    pthread_t threads[MOST_CORES];
    if (cores > MOST_CORES) cores = MOST_CORES;
    port = atoi(argv[1]);
    request_length = fread(request, 1, sizeof request, stdin);
    answered = calloc(most, sizeof *answered);
    int64_t *late = calloc(most, sizeof *late);
    if (argc == 5) records = calloc(most, sizeof *records);
    signal(SIGTERM, stop);
    prctl(PR_SET_TIMERSLACK, 1);
    for (int core = 0; core < cores; core++) {
        meters[core] = (Meter){core, 0, calloc(MOST_PAUSES, sizeof(Span))};
        pthread_create(&threads[core], NULL, watch_core, &meters[core]);
    }
    int64_t began = now_ns();
    long sent = run(rate, seconds, late);
    if (stopped) seconds = (now_ns() - began) / 1e9;
    ending = 1;
    for (int core = 0; core < cores; core++) pthread_join(threads[core], NULL);
    report(sent, seconds, cores, late);
    if (records) write_records(argv[4]);
    return 0;
}
