/* Threads. Parallel loops are written as OpenMP pragmas. GCC brings a library for them, and PyTorch shares its threads.
 *
 * clang calls a library that is often not installed, and of which a process may not load a second copy beside
 * PyTorch's. So this file has what clang's code calls for the pragmas of this folder: parallel regions with `if` and
 * `num_threads`, loops that are divided evenly, and barriers (LLVM's OpenMP runtime, openmp/runtime/src/kmp.h).
 */
#include "threads.h"
#include <stdint.h>

/* Sets the number of threads of the parallel regions that the calling thread begins. */
void set_threads(int64_t threads);

void set_threads(int64_t threads) {
    omp_set_num_threads(threads);
}

#ifdef __clang__
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

/* ---- Threads of the operating system: what differs between Windows and the others. ---- */

#ifdef _WIN32
#undef DOUBLE /* windows.h has a type of this name */
#include <windows.h>
typedef SRWLOCK Mutex;
typedef CONDITION_VARIABLE Condition;
#define init_mutex InitializeSRWLock
#define init_condition InitializeConditionVariable
#define lock AcquireSRWLockExclusive
#define unlock ReleaseSRWLockExclusive
#define wake_all WakeAllConditionVariable
#define sleep_on(condition, mutex) SleepConditionVariableSRW(condition, mutex, INFINITE, 0)
#define THREAD_FUNCTION DWORD WINAPI

static int start_thread(DWORD WINAPI function(void *), void *argument) {
    const HANDLE thread = CreateThread(NULL, 0, function, argument, 0, NULL);
    return thread && CloseHandle(thread);
}

static void call_after_fork(void function(void)) {
    (void)function; /* Windows has no fork */
}

#else
#include <pthread.h>
typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
#define init_mutex(mutex) pthread_mutex_init(mutex, NULL)
#define init_condition(condition) pthread_cond_init(condition, NULL)
#define lock pthread_mutex_lock
#define unlock pthread_mutex_unlock
#define wake_all pthread_cond_broadcast
#define sleep_on pthread_cond_wait
#define THREAD_FUNCTION void *

static int start_thread(void *function(void *), void *argument) {
    pthread_t thread;
    return pthread_create(&thread, NULL, function, argument) == 0 && pthread_detach(thread) == 0;
}

static void call_after_fork(void function(void)) {
    pthread_atfork(NULL, NULL, function);
}
#endif

/* Tells the processor that this thread spins. */
static inline void pause_briefly(void) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* ---- A flag that one thread sets and another one waits for. ---- */

enum { SPINS = 1500 }; /* before a thread sleeps; the reasons are in charrnn_port/threads.py */

typedef struct {
    _Alignas(128) atomic_int value; /* apart from other flags, so that cores do not exchange the same cache line */
    atomic_int sleepers;
    Mutex mutex;
    Condition condition;
} Flag;

static void init_flag(Flag *flag) {
    atomic_init(&flag->value, 0);
    atomic_init(&flag->sleepers, 0);
    init_mutex(&flag->mutex);
    init_condition(&flag->condition);
}

static void set_flag(Flag *flag, int value) {
    atomic_store(&flag->value, value);
    if (atomic_load(&flag->sleepers)) {
        lock(&flag->mutex);
        wake_all(&flag->condition);
        unlock(&flag->mutex);
    }
}

static void wait_for(Flag *flag, int value) {
    for (int i = 0; i < SPINS; i++, pause_briefly())
        if (atomic_load_explicit(&flag->value, memory_order_acquire) == value)
            return;
    lock(&flag->mutex);
    atomic_fetch_add(&flag->sleepers, 1);
    while (atomic_load(&flag->value) != value)
        sleep_on(&flag->condition, &flag->mutex);
    atomic_fetch_sub(&flag->sleepers, 1);
    unlock(&flag->mutex);
}

/* ---- The pool of threads. ---- */

enum { MOST_THREADS = 256, MOST_ARGUMENTS = 20 };

/* The body of a parallel region: two addresses of thread numbers, then the addresses or values that it uses. It may have
   fewer parameters than this, which the calling conventions of 64-bit systems allow. */
typedef void Body(int32_t *, int32_t *, void *, void *, void *, void *, void *, void *, void *, void *, void *, void *,
                  void *, void *, void *, void *, void *, void *, void *, void *, void *, void *);

typedef struct {
    Body *body;
    void *arguments[MOST_ARGUMENTS];
    int threads;
} Region;

/* Of the calling thread: its number in a region with so many threads, and how many regions inside of that one run on
   this thread alone. */
static _Thread_local int thread_number, thread_count = 1, alone;
/* The number of threads of the next regions, and that of the next one only, or 0. */
static _Thread_local int max_threads = 1, next_threads;

static Flag flags[MOST_THREADS]; /* 1 while the thread of that number works; it sets it to 0 */
static int started = 1;          /* number of threads of the pool, including the one that begins a region */
static atomic_flag pool_is_used = ATOMIC_FLAG_INIT;
static const Region *current; /* the region of the pool */
static Flag barrier;          /* changes between 0 and 1 when all threads have reached a barrier */
static atomic_int arrived;    /* the number of threads that have reached it */

static void do_part(const Region *region, int number) {
    const int number_before = thread_number, count_before = thread_count, alone_before = alone;
    thread_number = number, thread_count = region->threads, alone = 0;
    int32_t self = number, zero = 0;
    void *const *a = region->arguments;
    region->body(&self, &zero, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13],
                 a[14], a[15], a[16], a[17], a[18], a[19]);
    thread_number = number_before, thread_count = count_before, alone = alone_before;
}

static THREAD_FUNCTION work(void *argument) {
    Flag *flag = argument;
    for (;;) {
        wait_for(flag, 1);
        do_part(current, flag - flags);
        set_flag(flag, 0);
    }
    return 0;
}

/* In a new process after fork() only the thread that called it is left. */
static void forget_threads(void) {
    started = 1, thread_number = 0, thread_count = 1, alone = 0;
    init_flag(&barrier), atomic_store(&arrived, 0); /* another thread may have been at a barrier */
    atomic_flag_clear(&pool_is_used);
}

/* Starts threads until there are `count`, or as many as the system allows. Returns their number. */
static int start_threads(int count) {
    static int handles_fork = 0;
    if (!handles_fork)
        call_after_fork(forget_threads), init_flag(&barrier), handles_fork = 1;
    for (; started < count; started++) {
        init_flag(&flags[started]);
        if (!start_thread(work, &flags[started]))
            break;
    }
    return count < started ? count : started;
}

/* Does a region on this thread and those of the pool. If another thread uses the pool, or inside of a region, this thread
   does all of it: results do not depend on the number of threads. */
static void do_region(Region *region) {
    if (region->threads < 2 || thread_count > 1 || atomic_flag_test_and_set(&pool_is_used)) {
        region->threads = 1;
        do_part(region, 0);
        return;
    }
    region->threads = start_threads(region->threads);
    current = region;
    for (int i = 1; i < region->threads; i++)
        set_flag(&flags[i], 1);
    do_part(region, 0);
    for (int i = 1; i < region->threads; i++)
        wait_for(&flags[i], 0);
    atomic_flag_clear(&pool_is_used);
}

/* ---- OpenMP's functions. They are not exported, since PyTorch exports those of its own library. ---- */

#ifndef _WIN32
#pragma GCC visibility push(hidden)
#endif

void omp_set_num_threads(int threads) {
    max_threads = threads < 1 ? 1 : threads < MOST_THREADS ? threads : MOST_THREADS;
}

int omp_get_max_threads(void) {
    return max_threads;
}

int omp_get_num_threads(void) {
    return alone ? 1 : thread_count;
}

int omp_get_thread_num(void) {
    return alone ? 0 : thread_number;
}

int omp_in_parallel(void) {
    return thread_count > 1;
}

/* ---- What clang's code calls. `place` describes the source line, `self` is the number of the thread. ---- */

int32_t __kmpc_global_thread_num(void *place) {
    (void)place;
    return omp_get_thread_num();
}

/* num_threads(threads) */
void __kmpc_push_num_threads(void *place, int32_t self, int32_t threads) {
    (void)place, (void)self;
    next_threads = threads;
}

/* A parallel region. */
void __kmpc_fork_call(void *place, int32_t count, Body *body, ...) {
    (void)place;
    if (count > MOST_ARGUMENTS)
        abort();
    Region region = {.body = body, .threads = next_threads ? next_threads : max_threads};
    if (region.threads > MOST_THREADS)
        region.threads = MOST_THREADS;
    next_threads = 0;
    va_list arguments;
    va_start(arguments, body);
    for (int i = 0; i < count; i++)
        region.arguments[i] = va_arg(arguments, void *);
    va_end(arguments);
    do_region(&region);
}

/* A parallel region whose `if` is false. */
void __kmpc_serialized_parallel(void *place, int32_t self) {
    (void)place, (void)self;
    next_threads = 0;
    alone++;
}

void __kmpc_end_serialized_parallel(void *place, int32_t self) {
    (void)place, (void)self;
    alone--;
}

/* Waits until all threads of the region are here. The next barrier cannot be complete before each of them has left this
   one, so that none misses the value that it waits for. */
void __kmpc_barrier(void *place, int32_t self) {
    (void)place, (void)self;
    if (omp_get_num_threads() == 1)
        return;
    const int next = !atomic_load(&barrier.value);
    if (atomic_fetch_add(&arrived, 1) + 1 < omp_get_num_threads()) {
        wait_for(&barrier, next);
        return;
    }
    atomic_store(&arrived, 0);
    set_flag(&barrier, next);
}

/* The division of a loop, for each type of its index. [*lower, *upper] is the whole range before, and the thread's
   afterward; as in GCC's library the first threads have one iteration more if it cannot be divided evenly. */
#define DEFINE_STATIC_INIT(name, type)                                                                                 \
    void name(void *place, int32_t self, int32_t schedule, int32_t *last, type *lower, type *upper, type *stride,      \
              type increment, type chunk) {                                                                            \
        (void)place, (void)self, (void)schedule, (void)increment, (void)chunk;                                         \
        const type threads = omp_get_num_threads(), thread = omp_get_thread_num(), count = *upper - *lower + 1;        \
        const type length = count / threads, longer = count % threads;                                                 \
        *lower += thread * length + (thread < longer ? thread : longer);                                               \
        *upper = *lower + length + (thread < longer) - 1;                                                              \
        *stride = count, *last = thread == threads - 1;                                                                \
    }
DEFINE_STATIC_INIT(__kmpc_for_static_init_4, int32_t)
DEFINE_STATIC_INIT(__kmpc_for_static_init_8, int64_t)
DEFINE_STATIC_INIT(__kmpc_for_static_init_8u, uint64_t)

void __kmpc_for_static_fini(void *place, int32_t self) {
    (void)place, (void)self;
}
#endif
