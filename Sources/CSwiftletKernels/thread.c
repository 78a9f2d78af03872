// thread.c: the engine's own thread, here because the pool's threads are too.

#include <pthread.h>
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
