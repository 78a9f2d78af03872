// thread.c: the engine's own thread, here because the pool's threads are too, and what is left to do when the process
// ends without its proper end.

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "include/CSwiftletKernels.h"

typedef struct {
    void (*body)(void *);
    void *context;
} start;

static void *run(void *argument) {
    start copy = *(start *)argument;
    free(argument);
    copy.body(copy.context);
    return NULL;
}

bool swiftlet_thread_start(void (*body)(void *context), void *context) {
    start *argument = malloc(sizeof(start));
    if (!argument) return false;
    *argument = (start){body, context};
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) {
        free(argument);
        return false;
    }
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    pthread_t thread;
    bool started = pthread_create(&thread, &attributes, run, argument) == 0;
    pthread_attr_destroy(&attributes);
    if (!started) free(argument);
    return started;
}

typedef int (*exit_action)(void *, int);

static void *_Atomic action_at_exit;
static void *_Atomic argument_at_exit;
static atomic_int code_at_exit = 1;

static void act_at_exit(void) {
    void *action = atomic_load(&action_at_exit);
    if (action == NULL) return;
    ((exit_action)(uintptr_t)action)(atomic_load(&argument_at_exit), atomic_load(&code_at_exit));
}

void swiftlet_ends_with(int code) { atomic_store(&code_at_exit, code); }

void swiftlet_at_exit(void *action, void *argument) {
    static atomic_flag registered = ATOMIC_FLAG_INIT;
    atomic_store(&argument_at_exit, argument);
    atomic_store(&action_at_exit, action);
    if (!atomic_flag_test_and_set(&registered)) atexit(act_at_exit);
}
